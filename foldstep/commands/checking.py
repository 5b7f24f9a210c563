"""`check`: run the checks before a search in this process, without the search."""

from __future__ import annotations

from typing import Any

from foldstep import display
from foldstep.client import Foldstep
from foldstep.connect import DEFAULT_DIR
from foldstep.options import (
    CHECKS_FAILED,
    Dir,
    Json,
    SpecFile,
    Token,
    Url,
    names_lines,
    out,
    print_json,
    quiet_exit,
)
from foldstep.service.contract.checks import CheckReport
from foldstep.service.contract.parse import parse_spec
from foldstep.service.contract.problem import LearningProblem
from foldstep.source import Source, some_master


@names_lines
def check(
    spec: SpecFile, url: Url = None, token: Token = None, data_dir: Dir = DEFAULT_DIR, as_json: Json = False
) -> None:
    """Check a spec before it is searched: does training behave as it should? Exit code 3 where a check fails."""
    with some_master(Source.of_spec(spec), url, token, data_dir) as (master, content):
        found = master.validate(content)
        if not as_json:
            for note in found.notes:
                out.print(note, markup=False)
        report = _report(master, found.spec, found.problem)
    if as_json:
        print_json(report)
    else:
        out.print(display.checks(report))
    quiet_exit(0 if report.passed else CHECKS_FAILED)


def _report(master: Foldstep, spec: dict[str, Any], problem: LearningProblem) -> CheckReport:
    import torch

    from foldstep.service.planner.candidates import candidates
    from foldstep.worker.checks.run import run_checks
    from foldstep.worker.client import MasterClient
    from foldstep.worker.data.inputs import FoldSource
    from foldstep.worker.data.load import read_table
    from foldstep.worker.settings import default_cache_dir

    torch.set_num_threads(1)  # as a worker does: results depend on it bit for bit
    path = MasterClient(master.connection).fetch_dataset(problem.fingerprint, default_cache_dir())
    source = FoldSource(read_table(path, problem.fingerprint), problem)
    return run_checks(source, problem, candidates(parse_spec(spec)))
