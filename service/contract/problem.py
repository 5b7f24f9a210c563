"""The record of what is to be learned: made when a spec is resolved, stored with the search, sent in every lease."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from foldstep.models.catalog.tasks import Task
from foldstep.service.contract.space import Frozen
from foldstep.service.contract.spec import CvSpec, DataSpec, MetricSpec, Spec


class LearningProblem(Frozen):
    """State everything that a trial's training takes from its search and its data.

    Two searches with equal problems train on the same rows, in the same folds, towards the same metric.

    Attributes:
        fingerprint: of the canonical data file.
        task: as the spec gives it, or inferred from the target.
        target: the column to predict.
        metric: as the spec gives it, or the first of the task.
        data: the spec's, with `target` and `task` filled in.
        seed: the search's, which splits rows into folds.
        n_folds: members of each trial.
        n_rows: of the data, test rows among them; None where an earlier version stored the search.
        n_inputs: units of its networks, counted over all rows; None where an earlier version read the data.
        n_outputs: the same.
    """

    fingerprint: str
    task: Task
    target: str
    metric: MetricSpec
    data: DataSpec
    cv: CvSpec
    seed: int
    n_folds: int = Field(ge=1)
    n_rows: int | None
    n_inputs: int | None
    n_outputs: int | None

    @model_validator(mode="after")
    def _says_one_thing(self) -> Self:
        if (self.data.target, self.data.task) != (self.target, self.task):
            raise ValueError("target and task must be those of data")
        return self

    def resolved(self, spec: Spec) -> Spec:
        """Fill in what a spec left to its data."""
        return spec.model_copy(update={"data": self.data, "metric": self.metric})


class ResolvedProblem(Frozen):
    """Hold a problem, and what was inferred or decided on the way to it.

    Attributes:
        notes: one sentence each.
    """

    problem: LearningProblem
    notes: list[str]
