"""The spec of a search, as records. `service/contract/parse.py` makes one from what a user wrote."""

from __future__ import annotations

import math
import re
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BeforeValidator, ConfigDict, Discriminator, Field, Tag

from foldstep.models.catalog.metrics import METRICS, Direction
from foldstep.models.catalog.tasks import Task as Task
from foldstep.service.contract.methods import Method
from foldstep.service.contract.names import OneOf
from foldstep.service.contract.space import Fixed, Frozen, Space

MetricName: TypeAlias = Annotated[str, OneOf(METRICS)]

DEFAULT_TRIALS = 50
DEFAULT_EPOCHS = 30
MAX_GRID_POINTS = 1_000_000

_DURATION = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)\s*")
_UNIT_S = {"ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def number_from_text(value: Any) -> Any:
    """`1e-4`, which YAML reads as text, as the number; anything else as it is."""
    if not isinstance(value, str):
        return value
    try:
        number = float(value)
    except ValueError:
        return value
    return int(number) if re.fullmatch(r"\s*[+-]?\d+\s*", value) else number


def seconds_from_text(value: Any) -> Any:
    """`90s`, `10m`, `2h`, `1d` as seconds; a number is seconds already; anything else as it is."""
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    return float(match[1]) * _UNIT_S[match[2]] if match else number_from_text(value)


Int: TypeAlias = Annotated[int, BeforeValidator(number_from_text)]
Float: TypeAlias = Annotated[float, BeforeValidator(number_from_text), Field(allow_inf_nan=False)]
Share: TypeAlias = Annotated[Float, Field(gt=0, lt=1)]
Duration: TypeAlias = Annotated[
    float,
    BeforeValidator(seconds_from_text),
    Field(gt=0, allow_inf_nan=False, description="seconds, or 90s, 10m, 2h"),
]


class Strict(Frozen):
    """Base of the spec's records: no silent conversions."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class ColumnRef(Strict):
    """A column that says something about each row."""

    column: str


TestPart: TypeAlias = Annotated[
    Annotated[Share, Tag("<share>")] | Annotated[ColumnRef, Tag("<column>")],
    Discriminator(lambda v: "<column>" if isinstance(v, dict | ColumnRef) else "<share>"),
]
Keep: TypeAlias = Annotated[
    Annotated[Int, Field(ge=0), Tag("<number>")] | Annotated[Literal["all", "none"], Tag("<word>")],
    Discriminator(lambda v: "<word>" if isinstance(number_from_text(v), str) else "<number>"),
]
"""Unions with a discriminator, so that a fault is told for the member that was meant, not for every one."""


class DataSpec(Strict):
    """Where the rows come from and what is to be predicted."""

    dataset: str
    target: str | None = None  # bundled sets have one; a file needs it named
    task: Task | None = None  # None: inferred from the target, and said
    test: TestPart | None = None
    ignore: list[str] = Field(default_factory=list)  # columns that are no features
    exposure: str | None = None  # a column: how long, how many or how much each row's count is of, for loss: poisson


class CvSpec(Strict):
    """How rows are split into training and validation parts: k folds, one holdout, or given folds."""

    folds: Annotated[Int, Field(ge=2)] | None = None
    holdout: Share | None = None
    column: str | None = None
    repeats: Annotated[Int, Field(ge=1, le=1000)] = 1
    stratify: bool | None = None  # None: for classification
    group: str | None = None
    time: str | None = None


class MetricSpec(Strict):
    """What trials are ranked by; the direction follows from the name."""

    name: MetricName
    target: Float | None = None  # the search is completed when a trial reaches it

    @property
    def direction(self) -> Direction:
        """Whether more or less is better."""
        return METRICS[self.name].direction


class BudgetSpec(Strict):
    """When a search ends."""

    trials: Annotated[Int, Field(ge=1, le=10_000_000)] | None = None
    time: Duration | None = None  # seconds
    trial_time: Duration | None = None  # seconds that each fold of a trial may be in training
    failed: Annotated[Int, Field(ge=1)] | None = None
    parallel: Annotated[Int, Field(ge=1)] | None = None


class StageSpec(Strict):
    """One round of a coarse-to-fine search.

    Attributes:
        continues: whether the best trials of the stage before go on from where they ended, instead of anew.
    """

    model_config = ConfigDict(serialize_by_alias=True)

    epochs: Annotated[Int, Field(ge=1, le=1_000_000)]
    trials: Annotated[Int, Field(ge=1, le=10_000_000)]
    continues: bool = Field(default=False, alias="continue")


class BorderSpec(Strict):
    """What happens when the best values sit at the edge of a range."""

    extend: bool = True
    extensions: Annotated[Int, Field(ge=0, le=20)] = 2  # times one parameter's range may be extended


class EarlyStopSpec(Strict):
    """Which trials stop before their last epoch, or before their last fold.

    Attributes:
        rungs: where trials are compared; see `service.planner.rungs`.
        eta: at each rung the best 1/eta go on, and the next rung is at eta times its epochs.
        min_epochs: of the first rung.
        race_folds: a trial whose first folds are clearly worse than the incumbent's loses the others.
    """

    rungs: Literal["asha", "hyperband", "none"] = "asha"
    eta: Annotated[Int, Field(ge=2, le=10)] = 3
    min_epochs: Annotated[Int, Field(ge=1, le=1_000_000)] = 1
    race_folds: bool = False


class ChecksSpec(Strict):
    """Whether a search is checked before its first trial."""

    before: bool = False
    force: bool = False  # go on in spite of failed checks


class CheckpointSpec(Strict):
    """Whose fold checkpoints stay on disk."""

    keep: Keep = 20

    @property
    def limit(self) -> int | None:
        """How many of the best trials keep their checkpoints; None for all of them."""
        if self.keep == "all":
            return None
        return 0 if self.keep == "none" else int(self.keep)


class Spec(Strict):
    """What a user submits, validated; see `docs` and `examples/` for the form users write."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    method: Method = "tpe"
    seed: Annotated[Int, Field(ge=0, le=2**63 - 1)] = 0
    batch: Annotated[Int, Field(ge=1, le=10_000)] | None = None  # trials that a learning method proposes at once
    data: DataSpec
    cv: CvSpec = CvSpec(folds=5)
    metric: MetricSpec | None = None  # None: the first of the task's
    space: Space = Space(parameters={})
    budget: BudgetSpec = BudgetSpec()
    stages: list[StageSpec] = Field(default_factory=list)
    border: BorderSpec = BorderSpec()
    early_stop: EarlyStopSpec | None = None
    warm_start: Annotated[str, Field(max_length=80)] | None = None  # a search whose best trials come first
    checks: ChecksSpec = ChecksSpec()
    checkpoints: CheckpointSpec = CheckpointSpec()

    def planned_stages(self) -> list[StageSpec]:
        """Those given, or 60, 30 and 10 % of the trials at 1, 5 and all epochs; for coarse-to-fine only."""
        if self.stages:
            return list(self.stages)
        trials = self.budget.trials or DEFAULT_TRIALS
        last = self.default_epochs()
        fine = math.ceil(trials * 0.1)
        middle = min(math.ceil(trials * 0.3), trials - fine)
        shares = [(1, trials - middle - fine), (min(5, last), middle), (last, fine)]
        return [StageSpec(epochs=epochs, trials=n) for epochs, n in shares if n > 0]

    def default_epochs(self) -> int:
        """The epochs of the last stage where none are given: the fixed hyperparameter's, or the default."""
        epochs = self.space.parameters.get("epochs")
        if not isinstance(epochs, Fixed):
            return DEFAULT_EPOCHS
        assert isinstance(epochs.value, int)
        return epochs.value
