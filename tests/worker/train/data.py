"""Small folds of real data for tests of the engine."""

from __future__ import annotations

import numpy as np
from sklearn import datasets

from foldstep.models.catalog.tasks import Task
from foldstep.service.contract.columns import NumberColumn
from foldstep.service.contract.problem import LearningProblem
from foldstep.service.contract.spec import CvSpec, DataSpec, MetricSpec
from foldstep.worker.data.inputs import FoldSource
from foldstep.worker.data.load import Table


def source(
    name: str = "wine", *, n_rows: int = 90, folds: int = 3, cv: CvSpec | None = None, exposure: bool = False
) -> FoldSource:
    bunch = getattr(datasets, f"load_{name}")()
    rows = np.random.default_rng(0).permutation(len(bunch.target))[:n_rows]
    columns = {f"x{i}": NumberColumn(bunch.data[rows, i].astype(np.float64)) for i in range(bunch.data.shape[1])}
    columns["target"] = NumberColumn(bunch.target[rows].astype(np.float64))
    task: Task = "regression" if name == "diabetes" else "classification"
    if exposure:
        columns["exposure"] = NumberColumn(np.random.default_rng(1).uniform(0.2, 3.0, n_rows))
    return FoldSource(Table(columns), problem(task, cv or CvSpec(folds=folds), "exposure" if exposure else None))


def problem(task: Task, cv: CvSpec, exposure: str | None = None) -> LearningProblem:
    return LearningProblem(
        fingerprint="0" * 64,
        task=task,
        target="target",
        metric=MetricSpec(name="accuracy" if task == "classification" else "rmse"),
        data=DataSpec(dataset="test", target="target", task=task, exposure=exposure),
        cv=cv,
        seed=7,
        n_folds=(cv.folds or 1) * cv.repeats,
        n_rows=None,
        n_inputs=None,
        n_outputs=None,
        reading=None,
        baseline=None,
    )
