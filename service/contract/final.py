"""The records of a search's final model, and of its score on the test part."""

from __future__ import annotations

from pydantic import AwareDatetime, Field

from foldstep.service.contract.ensemble import EnsembleMember
from foldstep.service.contract.space import Frozen
from foldstep.service.contract.winner import Winner

ENSEMBLE, REFIT, RESEED, OUTER = "ensemble", "refit", "reseed", "outer-"
"""What a search is that follows another: what its kind of ensemble trains, its ensemble on more of the rows, its best
trials with other seeds, or a part of nested cross-validation; the number of the part, from 1, comes after `OUTER`."""
LEVEL = 0.95
"""Level of the interval around a score on the test part."""


class HeldOutScore(Frozen):
    """The score of a final model on the test part, which nothing else has seen.

    Attributes:
        score: in the search's metric.
        low, high: ends of its bootstrap interval at `LEVEL`; None where the metric has no value on most resamples.
        winner_score: of the best trial alone, by the networks of its folds.
        n_rows: rows of the test part.
        n_resamples: resamples on which the metric has a value.
        looks: how often final models of this search were scored on these rows by now, this one among them.
    """

    score: float
    low: float | None
    high: float | None
    winner_score: float
    n_rows: int
    n_resamples: int
    looks: int


class FinalModel(Frozen):
    """The trials that a search predicts with after its end (`POST /searches/{id}:finalize`).

    Attributes:
        number: from 1; a search that was extended has another final model.
        members: its trials with their weights; one where a trial predicts alone. Their scores are those of the folds'
            networks.
        winner: the best trial.
        temperature: of its probabilities; 1 for none.
        threshold: between two classes; None for the more probable class.
        refit: the search that trained the members' checkpoints again; None where they are the folds' networks.
        score: of the folds' networks on out-of-fold rows, without temperature and threshold; None where no predictions
            were kept.
        test: its score on the test part; None where the search has none.
        sentences: the same in words.
    """

    search: str
    number: int = Field(ge=1)
    made_at: AwareDatetime
    members: list[EnsembleMember]
    winner: int
    temperature: float = 1.0
    threshold: float | None = None
    refit: str | None = None
    score: float | None
    test: HeldOutScore | None
    sentences: list[str] = Field(default_factory=list)


class Reseeded(Frozen):
    """A trial that was trained again with other seeds.

    Attributes:
        trial: its number in the search.
        score: there.
        again: its scores with the other seeds, each the mean over the folds.
        mean: of these.
        spread: their standard deviation; None for one seed.
    """

    trial: int
    score: float
    again: list[float]
    mean: float
    spread: float | None


class ReseedReport(Frozen):
    """What other seeds say of the best trials of a search.

    Attributes:
        search: the search that trained them.
        trials: the best one with other seeds first.
        winner: the comparison of these means; see `Winner`.
        sentences: the same in words.
    """

    search: str
    trials: list[Reseeded]
    winner: Winner
    sentences: list[str] = Field(default_factory=list)


class OuterScore(Frozen):
    """The score of the search without one outer fold, on that fold."""

    search: str
    score: float
    n_rows: int


class OuterReport(Frozen):
    """The scores of nested cross-validation: of the whole procedure, on rows that no part of it has seen.

    Attributes:
        n_folds: outer folds.
        scores: those that there are.
        mean: of the scores; None before the first.
        standard_error: of the mean; None before the second.
        sentences: the same in words.
    """

    n_folds: int
    scores: list[OuterScore]
    mean: float | None
    standard_error: float | None
    sentences: list[str] = Field(default_factory=list)


class Final(Frozen):
    """How a search stands in this (`GET /searches/{id}/final`).

    Attributes:
        model: the last final model; None before the first.
        has_test_part: whether a part of the rows is held out.
        awaits_score: whether it is, and no final model was scored on it.
        refit: whether the search predicts with refitted networks, in words; nothing without `final.refit`.
        reseed: what other seeds say; None without `final.reseed`, and before the end of that search.
        outer: what nested cross-validation says; None without `cv.outer`.
    """

    model: FinalModel | None
    has_test_part: bool
    awaits_score: bool
    refit: list[str] = Field(default_factory=list)
    reseed: ReseedReport | None = None
    outer: OuterReport | None = None
