"""The records of what out-of-fold rows say about an ensemble's answers: a temperature, a threshold, intervals."""

from __future__ import annotations

from pydantic import Field

from foldstep.service.contract.space import Frozen


class ReliabilityBin(Frozen):
    """Rows whose predicted classes have about the same probability.

    Attributes:
        n: number of rows.
        probability: of the predicted class, mean over the rows.
        share: of the rows that are predicted right.
    """

    n: int
    probability: float
    share: float


class Reliability(Frozen):
    """How well probabilities fit the rows.

    Attributes:
        log_loss: mean over the rows, as the metric of that name.
        brier: as the metric of that name.
        calibration_error: expected calibration error, see `service.analysis.temperature`.
        curve: bins of equally many rows, the least probability first.
    """

    log_loss: float
    brier: float
    calibration_error: float
    curve: list[ReliabilityBin]


class Calibration(Frozen):
    """The temperature of an ensemble's probabilities, fitted on out-of-fold rows.

    Attributes:
        temperature: that predictions get; 1 where none was better on rows that it was not fitted on.
        fitted: the temperature with the least log loss on all rows; None where none is the least.
        n_rows: rows that it was fitted on.
        before: of the probabilities without a temperature; those of all networks are corrected for class weights.
        after: on the same rows, each with a temperature that was fitted on others.
    """

    temperature: float = Field(gt=0)
    fitted: float | None
    n_rows: int
    before: Reliability
    after: Reliability


class Threshold(Frozen):
    """The probability of the second class above which it is predicted, chosen on out-of-fold rows.

    Attributes:
        threshold: None where none was better on rows that it was not chosen on: the more probable class stays.
        chosen: the best one on all rows.
        by: what it is chosen for: a metric, or `cost`, the mean cost of a row.
        score: on rows that it was not chosen on, with thresholds that were chosen on others in the same way.
        default_score: on the same rows, of the more probable class, as training weighted them.
    """

    threshold: float | None
    chosen: float
    by: str
    score: float
    default_score: float


class Adjustments(Frozen):
    """What is done with the mean of an ensemble's networks, by what out-of-fold rows say of it.

    Attributes:
        intervals: see `Ensemble.intervals`.
        temperature: of probabilities; 1 for none.
        threshold: probability of the second of two classes above which it is predicted; None for the more probable
            class.
    """

    intervals: dict[str, float] = Field(default_factory=dict)
    temperature: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    threshold: float | None = Field(default=None, ge=0, le=1)

    @property
    def changes_classes(self) -> bool:
        """Whether probabilities or predicted classes are others than the networks' mean says."""
        return self.temperature != 1 or self.threshold is not None


NOTHING = Adjustments()
"""Of networks of which no out-of-fold rows tell, as those of one trial that is named."""
