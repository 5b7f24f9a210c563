"""The learning problem of a benchmark that trains without a master."""

from __future__ import annotations

from foldstep.service.contract.fields import MetricName
from foldstep.service.contract.problem import LearningProblem
from foldstep.service.contract.spec import CvSpec, DataSpec


def problem_of(data: DataSpec, cv: CvSpec, metric: MetricName, *, n_folds: int, seed: int = 0) -> LearningProblem:
    """Make the record that a master would send; fields that only a master needs are None.

    Args:
        data: with `target` and `task`.
        cv: how the rows are split.
        metric: of the scores.
        n_folds: number of folds that `cv` makes.
        seed: of the split.
    """
    assert data.task is not None
    assert data.target is not None
    facts = {"task": data.task, "target": data.target, "data": data, "cv": cv, "metric": {"name": metric}, "seed": seed}
    sizes = {"n_folds": n_folds, "n_rows": None, "n_inputs": None, "n_outputs": None, "reading": None, "baseline": None}
    return LearningProblem.model_validate({"fingerprint": "0" * 64, **facts, **sizes})
