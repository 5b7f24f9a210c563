"""The records of a report on features: which columns a search's networks need, and what they make of them."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from foldstep.service.contract.prediction import ChosenFiles
from foldstep.service.contract.problem import LearningProblem
from foldstep.service.contract.reading import Kind
from foldstep.service.contract.space import Frozen
from foldstep.service.contract.spec import MetricSpec

N_REPEATS = 5
"""Times that a column is permuted in each fold."""
MOST_ROWS = 5_000
"""Validation rows that are looked at, of all folds together: of more, some at equal distances."""
N_CURVES = 8
"""Columns that have a curve: the most important ones."""
N_POINTS = 12
"""Points of a curve at most: quantiles of a number, the most frequent categories."""
CURVE_ROWS = 500
"""Rows over which a curve is the mean."""
MOST_CLASSES = 5
"""Classes that a curve tells the probability of: the most frequent ones."""


class FeatureRequest(Frozen):
    """What a report is made from, for the child process.

    Attributes:
        table: path of the canonical file of the search's data.
    """

    chosen: ChosenFiles
    table: Path
    problem: LearningProblem


class FeatureCurve(Frozen):
    """The partial dependence of predictions on one column (Friedman 2001).

    Attributes:
        values: values of the column: numbers, categories, or dates as text.
        means: by what is predicted: for each value the mean prediction over rows whose cells of the column all have
            it; of classes, the mean of each one's probability.
    """

    values: list[float | str]
    means: dict[str, list[float | None]]


class FeatureImportance(Frozen):
    """How much one column matters to a search's networks.

    Attributes:
        column: its name.
        kind: number, category or date.
        increase: mean over folds and repeats of what the loss rises by when the column's cells are permuted among the
            validation rows of the fold; None where the metric then has no value.
        deviation: standard deviation of these rises (n - 1); None for fewer than two.
        curve: None where the column is not among the most important ones.
    """

    column: str
    kind: Kind
    increase: float | None
    deviation: float | None
    curve: FeatureCurve | None = None


class FeatureReport(Frozen):
    """Which columns matter to the networks that a search predicts with (`GET /searches/{id}/features`).

    Attributes:
        trials: the trials whose networks they are.
        score: of these networks on the rows that were looked at, mean over the folds; None where it has no value.
        n_rows: validation rows that were looked at, of all folds together.
        n_repeats: times that each column was permuted in each fold.
        n_curve_rows: rows over which the curves are means.
        features: by column, the most important first.
        notes: what to know of it, one sentence each.
    """

    search: str
    metric: MetricSpec
    trials: list[int]
    chosen: str
    score: float | None
    n_rows: int
    n_repeats: int
    n_curve_rows: int
    features: list[FeatureImportance]
    notes: list[str] = Field(default_factory=list)
