"""The spec of a search, as records; `service/contract/parse.py` parses what a user wrote into them."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, Self, TypeAlias, get_args

from pydantic import BeforeValidator, ConfigDict, Discriminator, Field, Tag, model_validator

from foldstep.models.catalog.metrics import METRICS, Direction
from foldstep.models.catalog.tasks import Task as Task
from foldstep.service.contract.fields import (
    Bool,
    Duration,
    Float,
    Int,
    MetricName,
    Share,
    Strict,
    number_from_text,
)
from foldstep.service.contract.final_spec import FinalSpec
from foldstep.service.contract.methods import Method
from foldstep.service.contract.reading import ReadingOptions
from foldstep.service.contract.space import Fixed, Space

DEFAULT_TRIALS = 50
DEFAULT_EPOCHS = 30
MAX_GRID_POINTS = 1_000_000
MASTER_PREFIX = "master:"
"""What a path in `data.dataset` begins with where it is a file of the master's, not of the user's."""


class ColumnRef(Strict):
    """A reference to a column that assigns rows, as to the test part."""

    column: str


class OuterFold(Strict):
    """One of some folds of all rows, drawn as those of `cv.folds` are: the test part of a nested cross-validation.

    Attributes:
        fold: its index, from 0.
        of: how many folds there are.
    """

    fold: Annotated[Int, Field(ge=0)]
    of: Annotated[Int, Field(ge=2, le=100)]

    @model_validator(mode="after")
    def _is_one_of_them(self) -> Self:
        if self.fold >= self.of:
            raise ValueError(f"fold below {self.of}, as they are counted from 0")
        return self


def _kind_of_test_part(value: Any) -> str:
    if isinstance(value, OuterFold) or (isinstance(value, dict) and "column" not in value and value):
        return "<fold>"
    return "<column>" if isinstance(value, dict | ColumnRef) else "<share>"


TestPart: TypeAlias = Annotated[
    Annotated[Share, Tag("<share>")] | Annotated[ColumnRef, Tag("<column>")] | Annotated[OuterFold, Tag("<fold>")],
    Discriminator(_kind_of_test_part),
]
Keep: TypeAlias = Annotated[
    Annotated[Int, Field(ge=0), Tag("<number>")] | Annotated[Literal["all", "none"], Tag("<word>")],
    Discriminator(lambda v: "<word>" if isinstance(number_from_text(v), str) else "<number>"),
]
"""A union with a discriminator, as `TestPart`, so that a fault is reported for the intended member only."""


def _one_or_several(value: Any) -> Any:
    """Take the only name out of a list of one; a list in the list stays there, for its names are not told apart.

    Raises:
        ValueError: an empty list.
    """
    if value == []:
        raise ValueError("the column to predict, or several")
    return value[0] if isinstance(value, list) and len(value) == 1 and not isinstance(value[0], list) else value


Target: TypeAlias = Annotated[
    Annotated[str, Tag("<name>")] | Annotated[list[str], Field(max_length=1000), Tag("<names>")],
    Discriminator(lambda v: "<names>" if isinstance(v, list) else "<name>"),
    BeforeValidator(_one_or_several),
]
"""The column to predict, or several, which one network predicts; a union with a discriminator, as `TestPart`."""


class DataSpec(ReadingOptions):
    """The data set, the target to predict, the roles of columns, and what overrules how the file is read."""

    dataset: str
    target: Target | None = None  # None: the target of a bundled set; required for files
    task: Task | None = None  # None: inferred from the target, with a note
    test: TestPart | None = None
    ignore: list[str] = Field(default_factory=list)  # columns that are not used as features
    quantiles: list[Share] | None = Field(default=None, min_length=1, max_length=99)  # learned by loss: quantile
    weight: str | None = None  # a column: how much each row counts, in losses and in metrics
    exposure: str | None = None  # a column: what each row's count or amount is of, see the losses with the link log

    @property
    def targets(self) -> list[str]:
        """The columns to predict; none where a bundled set's is meant."""
        return [] if self.target is None else [self.target] if isinstance(self.target, str) else self.target

    def of_each_target(self) -> list[DataSpec]:
        """Copy the data with each target alone; a label is then a class."""
        task = "classification" if self.task == "multilabel" else self.task
        return [self.model_copy(update={"target": name, "task": task}) for name in self.targets]

    @property
    def reading(self) -> ReadingOptions:
        """What the user says about how the file is read, the columns of `ignore` apart."""
        return ReadingOptions(**{name: getattr(self, name) for name in ReadingOptions.model_fields})


class CvSpec(Strict):
    """The split of rows into training and validation parts: k folds, a holdout, or given folds."""

    folds: Annotated[Int, Field(ge=2)] | None = None
    holdout: Share | None = None
    column: str | None = None
    repeats: Annotated[Int, Field(ge=1, le=1000)] = 1
    outer: Annotated[Int, Field(ge=2, le=100)] | None = None  # searches that follow, each without one of so many folds
    stratify: Bool | None = None  # None: for classification
    group: str | None = None
    time: str | None = None


class MetricSpec(Strict):
    """The metric that trials are ranked by; its name determines the direction."""

    name: MetricName
    target: Float | None = None  # the search is completed when a trial reaches it

    @property
    def direction(self) -> Direction:
        """Whether higher or lower scores are better."""
        return METRICS[self.name].direction


class BudgetSpec(Strict):
    """The limits of a search."""

    trials: Annotated[Int, Field(ge=1, le=10_000_000)] | None = None
    time: Duration | None = None  # seconds
    trial_time: Duration | None = None  # longest training time of each fold of a trial, in seconds
    failed: Annotated[Int, Field(ge=1)] | None = None
    parallel: Annotated[Int, Field(ge=1)] | None = None


class StageSpec(Strict):
    """One stage of a coarse-to-fine search.

    Attributes:
        continues: whether the best trials of the previous stage continue from their end, instead of from the beginning.
    """

    model_config = ConfigDict(serialize_by_alias=True)

    epochs: Annotated[Int, Field(ge=1, le=1_000_000)]
    trials: Annotated[Int, Field(ge=1, le=10_000_000)]
    continues: Bool = Field(default=False, alias="continue")


class BorderSpec(Strict):
    """The policy for ranges whose best values lie at an edge."""

    extend: Bool = True
    extensions: Annotated[Int, Field(ge=0, le=20)] = 2  # how often each parameter's range may be extended


class EarlyStopSpec(Strict):
    """The rules by which trials stop before their last epoch, or before their last fold.

    Attributes:
        rungs: scheme of the rungs at which trials are compared; see `service.planner.rungs`.
        eta: at each rung the best 1/eta continue, and the next rung is at eta times its epochs.
        min_epochs: epochs of the first rung.
        race_folds: whether a trial stops if its first folds are clearly worse than the incumbent's.
    """

    rungs: Literal["asha", "hyperband", "none"] = "asha"
    eta: Annotated[Int, Field(ge=2, le=10)] = 3
    min_epochs: Annotated[Int, Field(ge=1, le=1_000_000)] = 1
    race_folds: Bool = False


class ChecksSpec(Strict):
    """Whether a search is checked before its first trial."""

    before: Bool = False
    force: Bool = False  # start the search in spite of failed checks


class CheckpointSpec(Strict):
    """The number of best trials whose checkpoints stay on disk, and whether these hold out-of-fold predictions."""

    keep: Keep = 50
    predictions: Bool = True

    @property
    def limit(self) -> int | None:
        """Number of best trials that keep their checkpoints; None for all."""
        if self.keep == "all":
            return None
        return 0 if self.keep == "none" else int(self.keep)


class PresetUse(Strict):
    """The preset that a spec's parameters are beside; `space` has them together.

    Attributes:
        name: a key of `PRESETS`.
        own: the parameters that the spec has itself, which win.
    """

    name: str
    own: list[str]


class WarmConfigurations(Strict):
    """Configurations that come first, the best first; what one leaves out has its default."""

    configurations: Annotated[list[dict[str, Any]], Field(min_length=1, max_length=1000)]


WarmStart: TypeAlias = Annotated[
    Annotated[str, Field(max_length=80), Tag("<search>")] | Annotated[WarmConfigurations, Tag("<configurations>")],
    Discriminator(lambda v: "<configurations>" if isinstance(v, dict | WarmConfigurations) else "<search>"),
]
"""Another search, or configurations, that come first; a union with a discriminator, as `TestPart`."""

LeftOut: TypeAlias = Literal["parameters", "metric", "cv", "budget"]
LEFT_OUT: tuple[LeftOut, ...] = get_args(LeftOut)
"""The keys that are chosen for the table where they and the parameters are left out; see `contract.defaults`."""
NOT_WRITTEN = ("preset", "left_out")
"""Fields of a spec that are no keys of one."""


class Spec(Strict):
    """A validated spec; see `docs` and `examples/` for the form that users write.

    Attributes:
        left_out: keys that the table is to fill in; none where the parameters are given, or all is filled in.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    method: Method = "tpe"
    seed: Annotated[Int, Field(ge=0, le=2**63 - 1)] = 0
    batch: Annotated[Int, Field(ge=1, le=10_000)] | None = None  # trials that a learning method proposes at once
    data: DataSpec
    cv: CvSpec = CvSpec(folds=5)
    metric: MetricSpec | None = None  # None: the first metric of the task
    space: Space = Space(parameters={})
    preset: PresetUse | None = None
    left_out: list[LeftOut] = Field(default_factory=list)
    budget: BudgetSpec = BudgetSpec()
    stages: list[StageSpec] = Field(default_factory=list)
    border: BorderSpec = BorderSpec()
    early_stop: EarlyStopSpec | None = None
    warm_start: WarmStart | None = None  # a search whose best trials come first, or configurations
    checks: ChecksSpec = ChecksSpec()
    checkpoints: CheckpointSpec = CheckpointSpec()
    final: FinalSpec = FinalSpec()

    def planned_stages(self) -> list[StageSpec]:
        """List the given stages, or by default 60, 30 and 10 % of the trials at 1, 5 and all epochs; if staged only."""
        if self.stages:
            return list(self.stages)
        trials = self.budget.trials or DEFAULT_TRIALS
        last = self.default_epochs()
        fine = math.ceil(trials * 0.1)
        middle = min(math.ceil(trials * 0.3), trials - fine)
        shares = [(1, trials - middle - fine), (min(5, last), middle), (last, fine)]
        return [StageSpec(epochs=epochs, trials=n) for epochs, n in shares if n > 0]

    def default_epochs(self) -> int:
        """Choose the epochs of the last stage where no stages are given: the fixed `epochs`, or the default."""
        epochs = self.space.parameters.get("epochs")
        if not isinstance(epochs, Fixed):
            return DEFAULT_EPOCHS
        assert isinstance(epochs.value, int)
        return epochs.value
