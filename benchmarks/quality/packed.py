"""Many configurations of one split, trained in packs in this process: what a worker does, without a service."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from benchmarks.quality.cases import Split
from foldstep.committee import Committee
from foldstep.ensemble import Ensemble
from foldstep.prediction import predict_file
from foldstep.service.contract.lease import Lease, LeasedTrial
from foldstep.service.contract.parse import parse_spec
from foldstep.service.contract.problem import LearningProblem
from foldstep.service.data.ingest import ingest
from foldstep.service.data.resolve import resolve_problem
from foldstep.worker.assignment import Finished, TrialWork
from foldstep.worker.checkpoints import checkpoint
from foldstep.worker.data.inputs import FoldSource
from foldstep.worker.data.load import Table, read_table
from foldstep.worker.rerun import Keeper
from foldstep.worker.settings import PACK_BYTES_CPU
from foldstep.worker.steps.engine import Engine
from foldstep.worker.train.loop import Training


@dataclass(frozen=True)
class Answer:
    """What came of one configuration: its mean validation score, and what its folds predict of the test rows.

    Both are None where a fold diverged, or has no score.
    """

    validation: float | None
    predicted: list[str] | None


def trained(specs: Sequence[dict[str, Any]], parts: Split, folder: Path) -> list[Answer]:
    """Train the one trial of each spec, all together on one thread, and predict the test rows.

    Args:
        specs: equal but for their parameters, which are fixed.
        parts: the rows.
        folder: for files of the work, empty.
    """
    torch.set_num_threads(1)
    parts.write(folder)
    problem, source, _ = problem_of(specs[0], folder / "train.csv")
    params = [parse_spec(spec).space.from_unit({}) for spec in specs]
    leased = [LeasedTrial(number=number, params=of_one) for number, of_one in enumerate(params)]
    works = [TrialWork(trial, source.n_folds, problem.seed, problem.metric.direction, None) for trial in leased]
    keeper = Keeper(dict(enumerate(works)))
    training = Training(source, problem.metric.name, Engine(torch.device("cpu"), PACK_BYTES_CPU))
    training.train([member for work in works for member in work.members], keeper)
    return [_answer(work.finished(problem.fingerprint), problem, source, folder) for work in works]


def problem_of(spec: dict[str, Any], file: Path) -> tuple[LearningProblem, FoldSource, Table]:
    """Read a table and split it as a spec says; the canonical file stands beside it."""
    description = ingest(file, into=file.parent)
    canonical = file.parent / f"{description.fingerprint}.parquet"
    problem = resolve_problem(parse_spec(spec), description, canonical).problem
    table = read_table(canonical, description.fingerprint)
    return problem, FoldSource(table, problem), table


def _answer(finished: Finished, problem: LearningProblem, source: FoldSource, folder: Path) -> Answer:
    if finished.score is None:
        return Answer(None, None)
    of_problem: dict[str, Any] = {"search": "quality", "problem": problem, "trials": [finished.leased]}
    lease = Lease(lease=1, token="", expires_at=datetime.now(UTC), **of_problem)
    files = []
    for member, weights in zip(finished.members, finished.weights, strict=True):
        assert weights is not None
        data = source.fold(member.fold, member.hp.preparation)
        name, content = checkpoint(lease, finished.leased, member, weights, data, finished.result)
        files.append(folder / name)
        files[-1].write_bytes(content)
    ensemble = Ensemble.load([Committee(1.0, files)])
    (column,) = predict_file(ensemble, folder / "test.csv", proba=False).columns.values()
    return Answer(finished.score, list(map(str, column)))
