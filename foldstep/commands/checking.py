"""`check`: run the checks before a search in this process, without the search."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from foldstep import display
from foldstep.client import Foldstep
from foldstep.commands.running import read_local_spec
from foldstep.connect import DEFAULT_DIR, connect
from foldstep.local import local_master
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
    read_spec,
)
from foldstep.sending import with_data_sent
from foldstep.service.contract.checks import CheckReport
from foldstep.service.contract.errors import Unauthorized, Unavailable
from foldstep.service.contract.parse import parse_spec
from foldstep.service.contract.problem import LearningProblem


@names_lines
def check(
    spec: SpecFile, url: Url = None, token: Token = None, data_dir: Dir = DEFAULT_DIR, as_json: Json = False
) -> None:
    """Check a spec before it is searched: does training behave as it should? Exit code 3 where a check fails."""
    with _some_master(spec, url, token, data_dir) as (master, content):
        found = master.validate(content)
        if not as_json:
            for note in found.notes:
                out.print(note, markup=False)
        report = _report(master, content, found.problem)
    if as_json:
        print_json(report)
    else:
        out.print(display.checks(report))
    quiet_exit(0 if report.passed else CHECKS_FAILED)


@contextmanager
def _some_master(
    spec: str, url: str | None, token: str | None, data_dir: Path
) -> Iterator[tuple[Foldstep, dict[str, Any]]]:
    """Connect to the running master, or start one for the block if none serves `data_dir`; yield it with the spec."""
    master = _running_master(url, token, data_dir)
    if master is not None:
        yield master, with_data_sent(master, read_spec(spec), spec)
        return
    content, roots = read_local_spec(spec)
    with local_master(data_dir, roots) as own:
        yield own, content


def _running_master(url: str | None, token: str | None, data_dir: Path) -> Foldstep | None:
    if url is not None:
        return connect(url, token, data_dir)
    with suppress(Unavailable, Unauthorized):
        master = connect(url, token, data_dir)
        master.searches()  # a master that was killed leaves its address behind
        return master
    return None


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
