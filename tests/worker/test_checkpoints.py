"""Checkpoint files of the first version are read as those of today are."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from foldstep.models.catalog.metrics import Direction
from foldstep.models.catalog.preparation import Preparation
from foldstep.models.checkpoint import decode, encode
from foldstep.models.weights import Weights
from foldstep.recovery import recover_leaderboards
from foldstep.service.contract.lease import Lease, LeasedTrial
from foldstep.service.contract.spec import CvSpec
from foldstep.worker.assignment import TrialWork
from foldstep.worker.checkpoints import checkpoint
from foldstep.worker.predictor import Predictor
from foldstep.worker.settings import PACK_BYTES_CPU
from foldstep.worker.steps.engine import Engine
from foldstep.worker.train.loop import Training
from foldstep.worker.train.member import Member
from foldstep.worker.train.oversight import Unwatched
from tests.worker.data.tables import numbers, table_of
from tests.worker.train.data import problem, source

OLD_CONTEXT: dict[str, Any] = {
    "search": "counted-1a2b3c",
    "seed": 7,
    "data": {
        "dataset": "test", "target": "target", "task": "regression", "test": None, "ignore": [],
        "exposure": "exposure",
    },
    "task": "regression",
    "cv": {
        "folds": 2, "holdout": None, "column": None, "repeats": 1, "stratify": None, "group": None, "time": None,
    },
    "metric": {"name": "rmse", "target": None},
    "fingerprint": "0" * 64,
}  # fmt: skip
"""What version 0.1.0 wrote into every checkpoint about the search."""


class Keeper(Unwatched):
    def __init__(self, work: TrialWork) -> None:
        self.work = work

    def member_done(self, member: Member, weights: Weights | None) -> None:
        self.work.weights[member.fold] = weights


@pytest.fixture(scope="module")
def file() -> tuple[str, bytes]:
    """The checkpoint of fold 0 of a trial that counts, named and written as a worker does."""
    folds = source("diabetes", folds=2, exposure=True)
    leased = LeasedTrial(number=4, params={"hidden": [8], "loss": "poisson", "epochs": 2, "seed": 3})
    work = TrialWork(leased, folds.n_folds, 7, Direction.MINIMIZE, saved=None)
    Training(folds, "rmse", Engine(torch.device("cpu"), PACK_BYTES_CPU)).train(work.members, Keeper(work))
    finished = work.finished("0" * 64)
    lease = Lease(
        lease=1,
        token="t",
        expires_at=datetime(2030, 1, 1, tzinfo=UTC),
        search="counted-1a2b3c",
        problem=problem("regression", CvSpec(folds=2), "exposure"),
        trials=[leased],
    )
    member, weights = finished.members[0], finished.weights[0]
    assert weights is not None
    return checkpoint(lease, leased, member, weights, folds.fold(0, Preparation("standard", "log")), finished.result)


def test_the_facts_of_the_first_version_are_still_there(file: tuple[str, bytes]) -> None:
    _, facts = decode(file[1])
    context = facts["context"]
    old_data = {name: context["data"][name] for name in OLD_CONTEXT["data"]}
    assert {**{name: context[name] for name in OLD_CONTEXT}, "data": old_data} == OLD_CONTEXT


def test_a_file_of_the_first_version_predicts_and_is_recovered(file: tuple[str, bytes], tmp_path: Path) -> None:
    name, content = file
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / name).write_bytes(content)
    arrays, facts = decode(content)
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / name).write_bytes(encode(arrays, {**facts, "context": OLD_CONTEXT}))
    new, old = (Predictor.load(tmp_path / folder / name) for folder in ("new", "old"))
    rows = np.random.default_rng(0).normal(size=(5, 10))
    table = table_of(**{f"x{i}": numbers(rows[:, i]) for i in range(10)}, exposure=numbers([1.0, 2.0, 3.0, 4.0, 5.0]))
    assert old.target_names == ["target"]
    assert old.columns == new.columns
    assert "exposure" in old.columns
    assert np.array_equal(old.outputs(table), new.outputs(table))
    found, damaged = recover_leaderboards(tmp_path / "old")
    assert damaged == []
    assert [(row["rank"], row["trial"]) for row in found["counted-1a2b3c"]] == [(1, 4)]
