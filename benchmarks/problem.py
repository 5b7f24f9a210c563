"""The problem of a benchmark that trains on rows of its own, without a master."""

from __future__ import annotations

from foldstep.service.contract.problem import LearningProblem
from foldstep.service.contract.spec import CvSpec, DataSpec, MetricName


def problem_of(data: DataSpec, cv: CvSpec, metric: MetricName, *, n_folds: int, seed: int = 0) -> LearningProblem:
    """Make the record that a master would send; what only a master needs is left open.

    Args:
        data: with `target` and `task`.
        cv: how the rows are split.
        metric: what is scored.
        n_folds: that `cv` comes to.
        seed: of the split.
    """
    assert data.task is not None
    assert data.target is not None
    facts = {"task": data.task, "target": data.target, "data": data, "cv": cv, "metric": {"name": metric}, "seed": seed}
    sizes = {"n_folds": n_folds, "n_rows": None, "n_inputs": None, "n_outputs": None}
    return LearningProblem.model_validate({"fingerprint": "0" * 64, **facts, **sizes})
