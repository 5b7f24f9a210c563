"""The records of a search's ensemble: the trials whose committees predict together, and what that brings."""

from __future__ import annotations

from pydantic import Field

from foldstep.service.contract.calibration import Adjustments, Calibration, Threshold
from foldstep.service.contract.final_spec import Kind
from foldstep.service.contract.space import Frozen

ROWS_TIMED = 1000
"""Rows of a prediction that is timed."""


class Cost(Frozen):
    """What predictions of some networks together cost.

    Attributes:
        networks: their number.
        parameters: trained parameters of all of them.
        milliseconds: measured time of the networks alone for `ROWS_TIMED` rows, on one core of the master; reading a
            table and preparing its columns come on top.
    """

    networks: int
    parameters: int
    milliseconds: float


class EnsembleMember(Frozen):
    """A trial in an ensemble.

    Attributes:
        trial: its number.
        search: the search that has it; None for that of the ensemble.
        weight: its share in the mean; all shares add up to 1.
        score: of its networks alone, on the same rows as the ensemble's.
        checkpoints: its folds' networks.
    """

    trial: int
    search: str | None = None
    weight: float = Field(gt=0, le=1)
    score: float
    checkpoints: list[str]


class Ensemble(Frozen):
    """The trials that predict together, chosen on out-of-fold predictions.

    The scores here are those of the networks that are kept, on the validation rows of their folds; those of a
    leaderboard are averaged over epochs.

    Attributes:
        kind: how it comes about, `final.ensemble` of the spec.
        words: what predicts together, where members were trained for it; None elsewhere.
        members: in the order in which they joined; one trial where an ensemble brings nothing.
        score: of the ensemble, mean over the folds, on out-of-fold rows; a greedy one was chosen on them.
        winner: the best trial alone.
        winner_score: its score on the same rows.
        held_out_score: mean score on rows that did not take part in the choice, of ensembles that were chosen in the
            same way on the others; None where too few rows have a score.
        held_out_winner_score: the same of the best trial.
        intervals: share of rows to half the width of the interval around a prediction that covers so many, from the
            errors on out-of-fold rows; of one number alone, and as far as there are rows enough.
        calibration: of its probabilities; None where there are none, it is not asked for, or could not be made.
        threshold: between two classes; None where none is asked for, or could not be chosen.
        n_candidates: trials that could join: the best ones whose predictions are kept.
        n_networks: networks that predict together.
        cost: of its predictions, `winner_cost` of those of the best trial alone, and `cost_sentence` both in words;
            None where files are gone.
        why_alone: why the best trial predicts alone though its spec trains an ensemble; the end of a sentence.
        is_coming: whether that is going to change.
        notes: what to know of it, one sentence each.
    """

    search: str
    kind: Kind = "greedy"
    words: str | None = None
    members: list[EnsembleMember]
    score: float
    winner: int
    winner_score: float
    held_out_score: float | None
    held_out_winner_score: float | None
    intervals: dict[str, float] = Field(default_factory=dict)
    calibration: Calibration | None = None
    threshold: Threshold | None = None
    n_candidates: int
    n_networks: int
    cost: Cost | None = None
    winner_cost: Cost | None = None
    cost_sentence: str | None = None
    why_alone: str | None = None
    is_coming: bool = False
    notes: list[str] = Field(default_factory=list)

    @property
    def adjustments(self) -> Adjustments:
        """What is done with the answers of its networks."""
        return Adjustments(
            intervals=self.intervals,
            temperature=1.0 if self.calibration is None else self.calibration.temperature,
            threshold=None if self.threshold is None else self.threshold.threshold,
        )


class TrialPredictions(Frozen):
    """The out-of-fold predictions of a trial, fold after fold (`GET /searches/{id}/trials/{number}/predictions`).

    Attributes:
        columns: what the numbers of `predictions` are: a probability of each class as training weighted them, or the
            values of a target, of each quantile, or of each target.
        folds: the fold of each row.
        rows: the number of each row in the data, from 0.
        truth: of each row: the number of its class in `columns`, or its value, or of several targets one each.
        predictions: of each row, one number for each of `columns`.
    """

    trial: int
    columns: list[str]
    folds: list[int]
    rows: list[int]
    truth: list[float | list[float]]
    predictions: list[list[float | None]]
