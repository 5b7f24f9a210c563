"""The part `final` of a spec: what a search makes of its trials for predictions."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from foldstep.service.contract.fields import Bool, Cost, Int, MetricName, Strict, boolean_from_text


class ReseedSpec(Strict):
    """Which trials are trained again after a search, with other seeds.

    Attributes:
        top: how many configurations, the best ones.
        seeds: how often each.
    """

    top: Annotated[Int, Field(ge=1, le=100)] = 5
    seeds: Annotated[Int, Field(ge=1, le=100)] = 5


class CostSpec(Strict):
    """What false predictions of two classes cost, in any unit; the second class is the positive one."""

    false_positive: Cost
    false_negative: Cost


class ThresholdSpec(Strict):
    """What the threshold between two classes is chosen for: one of both.

    Attributes:
        metric: one that looks at predicted classes alone, see `Metric.is_of_classes`.
        cost: the mean cost of a row is to be least.
    """

    metric: MetricName | None = None
    cost: CostSpec | None = None

    @property
    def by(self) -> str:
        """The name of what it is chosen for."""
        return self.metric or "cost"


class RefitSpec(Strict):
    """How the trials that predict are trained again on more of the rows, see `service.contract.refit`.

    Attributes:
        seeds: networks of each trial.
    """

    seeds: Annotated[Int, Field(ge=1, le=100)] = 5


def _refit_from_boolean(value: Any) -> Any:
    """Read `true` as a refit with its defaults, and `false` as none."""
    said = boolean_from_text(value)
    return ({} if said else None) if isinstance(said, bool) else value


class FinalSpec(Strict):
    """What a search makes of its trials for predictions.

    Attributes:
        refit: a search that follows and trains the trials of the ensemble again on more of the rows; None for none.
        reseed: a search that follows and trains the best trials again with other seeds; None for none.
        ensemble: how trials join in an ensemble; with `none` the best one predicts alone.
        members: trials of an ensemble at most.
        calibrate: whether probabilities get a temperature; None for classification.
        threshold: by what the second of two classes is predicted; None for the more probable class.
    """

    refit: Annotated[RefitSpec | None, BeforeValidator(_refit_from_boolean)] = None
    reseed: ReseedSpec | None = None
    ensemble: Literal["greedy", "none"] = "greedy"
    members: Annotated[Int, Field(ge=1, le=50)] = 10
    calibrate: Bool | None = None
    threshold: ThresholdSpec | None = None
