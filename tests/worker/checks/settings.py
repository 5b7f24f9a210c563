"""Data and spaces for the tests of the checks."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from foldstep.models.catalog.activations import ACTIVATIONS
from foldstep.models.catalog.hyperparameters import INITS
from foldstep.models.catalog.norms import NORMS
from foldstep.models.catalog.optimizers import OPTIMIZERS
from foldstep.models.catalog.preparation import Preparation
from foldstep.models.catalog.tasks import Task
from foldstep.service.contract.columns import NumberColumn
from foldstep.service.contract.parse import parse_spec
from foldstep.service.contract.spec import CvSpec
from foldstep.service.planner.candidates import candidates
from foldstep.worker.checks.setting import CheckSetting
from foldstep.worker.data.inputs import FoldSource
from foldstep.worker.data.load import Table
from tests.worker.train.data import problem, source

WIDE: dict[str, Any] = {
    "lr": {"low": 1e-5, "high": 1.0, "log": True},
    "activation": list(ACTIVATIONS),
    "norm": list(NORMS),
    "init": list(INITS),
    "optimizer": [name for name, optimizer in OPTIMIZERS.items() if not optimizer.rule.takes_all_rows],
    "width": {"low": 8, "high": 128, "log": True},
    "depth": {"low": 1, "high": 5},
    "dropout": {"low": 0.0, "high": 0.5},
    "weight_decay": {"low": 1e-6, "high": 1e-1, "log": True},
    "batch_size": [16, 32, 64, 128],
    "scaler": ["standard", "minmax", "robust", "quantile", "whiten"],
}  # fmt: skip


@lru_cache(maxsize=8)
def bundled(name: str) -> FoldSource:
    return source(name, n_rows=2000, folds=5)


def setting(data: str | FoldSource, seed: int = 0, **parameters: Any) -> CheckSetting:
    """Make the setting in which a search with these parameters would be checked."""
    folds = bundled(data) if isinstance(data, str) else data
    task = folds.fold(0, Preparation("none")).target.task
    spec = parse_spec({"name": "t", "data": {"dataset": "d"}, "seed": seed, "parameters": parameters})
    return CheckSetting.of(folds, candidates(spec), task, seed)


def changed(name: str, change: Callable[[dict[str, np.ndarray]], None]) -> FoldSource:
    """Load a bundled data set and let `change` modify its columns (`x0` …, `target`) in place."""
    whole = bundled(name)
    columns = {key: column.values.copy() for key, column in whole._table.columns.items()}  # type: ignore[union-attr]
    change(columns)
    table = Table({key: NumberColumn(values) for key, values in columns.items()})
    return FoldSource(table, problem("classification", CvSpec(folds=5)))


def made(x: np.ndarray, y: np.ndarray, task: Task = "classification") -> FoldSource:
    """Make folds of a table with features x, (rows, features), and target y, (rows,)."""
    columns = {f"x{i}": NumberColumn(column.astype(np.float64)) for i, column in enumerate(x.T)}
    table = Table({**columns, "target": NumberColumn(y.astype(np.float64))})
    return FoldSource(table, problem(task, CvSpec(folds=5)))
