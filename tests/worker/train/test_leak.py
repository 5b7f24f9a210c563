"""A target leak planted in the validation part: nothing that is fitted may find it, under any scaler and loss.

The validation rows carry their own target in a feature, in a category and in the missing values of another one, and
their targets and exposures are moved far away. What trains must not notice, bit by bit; what scores must.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from foldstep.models.catalog.hyperparameters import SCALERS
from foldstep.models.catalog.tasks import Task
from foldstep.models.hyperparameters import resolve
from foldstep.service.contract.columns import CategoryColumn, ColumnValues, NumberColumn
from foldstep.service.contract.spec import CvSpec
from foldstep.worker.data.inputs import FoldSource
from foldstep.worker.data.load import Table
from foldstep.worker.steps.engine import Engine
from foldstep.worker.train.loop import Training
from foldstep.worker.train.member import Member
from foldstep.worker.train.stopping import Progress
from tests.worker.train.data import problem
from tests.worker.train.watch import Watch

N = 90
FOLD = np.arange(N) % 3
IS_VALID = FOLD == 1
CASES: list[tuple[Task, dict[str, Any]]] = [
    ("classification", {"class_weight": "balanced"}),
    ("regression", {"loss": "huber"}),
    ("regression", {"loss": "poisson"}),
]


def columns(task: Task, *, planted: bool) -> dict[str, ColumnValues]:
    random = np.random.default_rng(0)
    target = random.integers(0, 3, N).astype(float)
    noise, gaps = random.normal(size=N), np.where(random.random(N) < 0.1, np.nan, random.normal(size=N))
    exposure, code = random.uniform(0.5, 2, N), random.integers(0, 2, N)
    if planted:
        noise = np.where(IS_VALID, 1e4 * target, noise)
        gaps = np.where(IS_VALID & (target > 0), np.nan, gaps)
        code = np.where(IS_VALID, 2 + target.astype(int), code)
        exposure = np.where(IS_VALID, 1e3, exposure)
        target = np.where(IS_VALID, 2 - target if task == "classification" else 1e3 * target, target)
    category = CategoryColumn(code.astype(np.int32), tuple("abcde")[: int(code.max()) + 1])
    numbers: dict[str, npt.NDArray[np.float64]] = {"noise": noise, "gaps": gaps, "exposure": exposure, "target": target}
    return {"category": category, "fold": NumberColumn(FOLD.astype(float))} | {
        name: NumberColumn(values) for name, values in numbers.items()
    }


def train(task: Task, params: dict[str, Any], *, planted: bool) -> tuple[Progress, list[bytes]]:
    """The planted fold's history, and its weights after the last epoch."""
    search = problem(task, CvSpec(column="fold"), "exposure" if params.get("loss") == "poisson" else None)
    source = FoldSource(Table(columns(task, planted=planted)), search)
    member = Member(0, 1, resolve({"batch_size": 16, "epochs": 4, **params}))
    watch = Watch(leave_after=3)  # the snapshot is that of the last epoch, whichever was the best
    Training(source, search.metric.name, Engine(torch.device("cpu"), 1 << 30)).train([member], watch)
    assert member.snapshot is not None
    return member.progress, [a.tobytes() for layer in member.snapshot.parameters for a in layer.values()]


@pytest.mark.parametrize("scaler", SCALERS)
@pytest.mark.parametrize(("task", "params"), CASES, ids=lambda x: str(x))
def test_a_target_leak_planted_in_the_validation_part_is_not_found(
    scaler: str, task: Task, params: dict[str, Any]
) -> None:
    clean, clean_weights = train(task, {"scaler": scaler, **params}, planted=False)
    planted, planted_weights = train(task, {"scaler": scaler, **params}, planted=True)
    assert planted.train_loss == clean.train_loss
    assert planted_weights == clean_weights
    assert planted.scores != clean.scores, "the plant must be there for this test"
