"""The record of the learning problem: made when a spec is resolved, stored with the search, sent in every lease."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from foldstep.models.catalog.tasks import Task
from foldstep.service.contract.expansion import for_task
from foldstep.service.contract.reading import TableReading
from foldstep.service.contract.space import Frozen
from foldstep.service.contract.spec import CvSpec, DataSpec, MetricSpec, Spec, Target


class LearningProblem(Frozen):
    """Everything that a trial's training needs from its search and its data, apart from its hyperparameters.

    Two searches with equal problems train on the same rows, in the same folds, with the same metric.

    Attributes:
        fingerprint: fingerprint of the canonical columns of the data, in hex.
        task: as the spec gives it, or inferred from the target.
        target: the column to predict, or several.
        metric: as the spec gives it, or the first of the task, or chosen for the table where there are no parameters.
        data: the spec's data, with `target` and `task` filled in.
        seed: the search's seed, which determines the split into folds.
        n_folds: number of folds, so of members of each trial.
        n_rows: number of rows of the data, including test rows; None where an earlier version stored the search.
        n_inputs: number of network inputs, counted over all rows; None where an earlier version read the data.
        n_outputs: number of network outputs; None as `n_inputs`.
        baseline: the score of the constant answer in the metric, mean over the folds; None where an earlier version
            stored the search.
        reading: how the features, the target and the exposure are read; the features are all of its columns but the
            target and the exposure. None where an earlier version stored the search.
    """

    fingerprint: str
    task: Task
    target: Target
    metric: MetricSpec
    data: DataSpec
    cv: CvSpec
    seed: int
    n_folds: int = Field(ge=1)
    n_rows: int | None
    n_inputs: int | None
    n_outputs: int | None
    baseline: float | None
    reading: TableReading | None

    @model_validator(mode="after")
    def _says_one_thing(self) -> Self:
        if (self.data.target, self.data.task) != (self.target, self.task):
            raise ValueError("target and task must be those of data")
        return self

    @property
    def features(self) -> list[str] | None:
        """The columns that networks get as inputs; None where an earlier version stored the search."""
        if self.reading is None:
            return None
        no_features = (*self.data.targets, self.data.exposure)
        return [column.name for column in self.reading.columns if column.name not in no_features]

    def resolved(self, spec: Spec) -> Spec:
        """Fill in a spec's task, target and metric from this problem; its preset becomes that of the task."""
        return for_task(spec, self.task).model_copy(update={"data": self.data, "metric": self.metric})


class ResolvedProblem(Frozen):
    """A learning problem, with notes on what was inferred or decided when the spec was resolved.

    Attributes:
        spec: the spec, with all that the data fill in.
        notes: one sentence each, for the user.
    """

    problem: LearningProblem
    spec: Spec
    notes: list[str]
