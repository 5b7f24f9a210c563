"""The part `final` of a spec: what a search makes of its trials for predictions."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

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


Kind: TypeAlias = Literal["greedy", "seeds", "checkpoints", "averages", "none"]
"""How an ensemble comes about: chosen among the trials, trained as the best one, or by no ensemble at all."""
TRAINED: tuple[Kind, ...] = ("seeds", "checkpoints", "averages")
"""The kinds whose members a search trains that follows."""
MOST_CHOSEN, MOST_TRAINED = 10, 5
"""Members of an ensemble where a spec does not say: those that are chosen at most, and those that are trained."""


class FinalSpec(Strict):
    """What a search makes of its trials for predictions.

    Attributes:
        refit: a search that follows and trains the trials of the ensemble again on more of the rows; None for none.
        reseed: a search that follows and trains the best trials again with other seeds; None for none.
        ensemble: `greedy` chooses trials; `seeds`, `checkpoints` and `averages` train the best one's configuration
            again, see `service.planner.members`; with `none` the best one predicts alone.
        members: trials of an ensemble, of a greedy one at most; None for 10 of a greedy one, else 5.
        calibrate: whether probabilities get a temperature; None for classification.
        threshold: by what the second of two classes is predicted; None for the more probable class.
    """

    refit: Annotated[RefitSpec | None, BeforeValidator(_refit_from_boolean)] = None
    reseed: ReseedSpec | None = None
    ensemble: Kind = "greedy"
    members: Annotated[Int, Field(ge=1, le=50)] | None = None
    calibrate: Bool | None = None
    threshold: ThresholdSpec | None = None

    @property
    def is_trained(self) -> bool:
        """Whether a search that follows trains the ensemble."""
        return self.ensemble in TRAINED

    @property
    def most_members(self) -> int:
        """Trials of an ensemble, of a greedy one at most."""
        if self.ensemble == "none":
            return 1
        return self.members or (MOST_TRAINED if self.is_trained else MOST_CHOSEN)
