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
    name: str = "wine",
    *,
    n_rows: int = 90,
    folds: int = 3,
    cv: CvSpec | None = None,
    exposure: bool = False,
    weight: bool = False,
    quantiles: list[float] | None = None,
    labels: bool = False,
    targets: bool = False,
) -> FoldSource:
    bunch = getattr(datasets, f"load_{name}")()
    rows = np.random.default_rng(0).permutation(len(bunch.target))[:n_rows]
    columns = {f"x{i}": NumberColumn(bunch.data[rows, i].astype(np.float64)) for i in range(bunch.data.shape[1])}
    columns["target"] = NumberColumn(bunch.target[rows].astype(np.float64))
    task: Task = "regression" if name == "diabetes" else "classification"
    several = None
    if labels:  # unequal ones that overlap
        several, task = ["target", "other"], "multilabel"
        columns["other"] = NumberColumn((bunch.target[rows] < 1).astype(np.float64))
        columns["target"] = NumberColumn((bunch.data[rows, 0] > 13.5).astype(np.float64))
    if targets:  # of very different sizes
        several = ["target", "other"]
        columns["other"] = NumberColumn(np.log(bunch.target[rows]) + bunch.data[rows, 2])
    if exposure:
        columns["exposure"] = NumberColumn(np.random.default_rng(1).uniform(0.2, 3.0, n_rows))
    if weight:
        columns["weight"] = NumberColumn(np.random.default_rng(2).uniform(0.1, 5.0, n_rows))
    named = {name: name for name in ("exposure", "weight") if name in columns}
    return FoldSource(
        Table(columns), problem(task, cv or CvSpec(folds=folds), targets=several, quantiles=quantiles, **named)
    )


def problem(
    task: Task,
    cv: CvSpec,
    exposure: str | None = None,
    weight: str | None = None,
    quantiles: list[float] | None = None,
    targets: list[str] | None = None,
) -> LearningProblem:
    return LearningProblem(
        fingerprint="0" * 64,
        task=task,
        target=targets or "target",
        metric=MetricSpec(name="rmse" if task == "regression" else "accuracy"),
        data=DataSpec(
            dataset="test", target=targets or "target", task=task, exposure=exposure, weight=weight, quantiles=quantiles
        ),
        cv=cv,
        seed=7,
        n_folds=(cv.folds or 1) * cv.repeats,
        n_rows=None,
        n_inputs=None,
        n_outputs=None,
        reading=None,
        baseline=None,
    )
