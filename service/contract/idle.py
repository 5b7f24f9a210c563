"""Hyperparameters that a space sets and no trial reads, or not all: said in one sentence each, a note and no fault.

What reads a hyperparameter is known by the tables of `models.catalog`; a `Need` is a condition on them. A note says in
how many combinations of the values that decide about it the hyperparameter has no effect, and what to write instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice, pairwise

from foldstep.models.catalog.hyperparameters import NUMBER_EMBEDDINGS, lookup
from foldstep.models.catalog.kinds import Hyperparameter, Value
from foldstep.models.catalog.losses import LOSSES
from foldstep.models.catalog.norms import NORMS
from foldstep.models.catalog.optimizers import OPTIMIZERS
from foldstep.models.catalog.schedules import SCHEDULES
from foldstep.models.catalog.tasks import Task
from foldstep.models.catalog.units import UNITS
from foldstep.models.hyperparameters import Hyperparameters, resolve
from foldstep.service.contract.expansion import asked_for
from foldstep.service.contract.reach import combinations
from foldstep.service.contract.space import Choices, Distribution, Fixed, Params, Space
from foldstep.service.contract.spec import Spec

MOST_NOTES = 10
"""Notes that are written out; of further ones the number is said."""
MOST_COMBINATIONS = 5_000
"""Combinations of one hyperparameter that are looked at; one with more gets no note."""
_MOST_LISTED = 8
"""Values that a note lists; of further ones the number is said."""


@dataclass(frozen=True)
class Need:
    """A condition without which a hyperparameter has no effect.

    Attributes:
        by: the hyperparameters that decide it.
        words: the condition, in words.
        holds: whether it holds for a configuration.
        compares: whether it compares widths of layers, of which the ends of their ranges tell nothing.
    """

    by: tuple[str, ...]
    words: str
    holds: Callable[[Hyperparameters, Task], bool]
    compares: bool = False


def idle_notes(spec: Spec, task: Task) -> Iterator[str]:
    """Say of each hyperparameter that a spec sets where it has no effect; what a preset sets is not looked at."""
    notes = (_note(spec.space, name, task) for name in asked_for(spec, task))
    said = (note for note in notes if note is not None)
    yield from islice(said, MOST_NOTES)
    if more := sum(1 for _ in said):
        yield f"{more} more parameters have no effect, or not in all trials."


def _note(space: Space, name: str, task: Task) -> str | None:
    """Say where a hyperparameter has no effect; None where every trial that has it reads it."""
    row = lookup(name)
    if row is None or _is_default(space.parameters[name], row):
        return None
    for need in _needs_of(space, name, row):
        found = _looked_at(space, name, need, task)
        if found is not None and found.idle:
            return _in_words(space, name, need, found)
    return None


@dataclass(frozen=True)
class _Found:
    """The hyperparameters of a space that decide a need; the combinations in which it holds, and does not."""

    deciding: list[str]
    read: list[Params]
    idle: list[Params]


def _looked_at(space: Space, name: str, need: Need, task: Task) -> _Found | None:
    """Look at the combinations that decide a need; None for too many of them, or where ends of ranges tell nothing."""
    deciding = [other for other in space.parameters if (row := lookup(other)) is not None and row.name in need.by]
    if need.compares and _differ(space, [by for by in deciding if by.startswith("width")]):
        return None
    read: list[Params] = []
    idle: list[Params] = []
    for i, params in enumerate(combinations(space, (*deciding, name), every_choice=True)):
        if i >= MOST_COMBINATIONS:
            return None
        if name in params:
            (read if need.holds(resolve(params), task) else idle).append(params)
    return _Found(deciding, read, idle)


def _differ(space: Space, widths: Sequence[str]) -> bool:
    """Tell whether layers have ranges of widths of their own, which may be equal between their ends."""
    ranges = [by for by in widths if not isinstance(space.parameters[by], Fixed | Choices)]
    return bool(ranges) and widths != ["width"]


def _in_words(space: Space, name: str, need: Need, found: _Found) -> str | None:
    if not found.read:
        return f"{name} has no effect in any trial: it needs {need.words}; set that, or leave {name} out."
    free = [by for by in found.deciding if not _is_given(space.parameters[by])]
    if len(free) != 1:
        return None
    by = free[0]
    given = space.parameters[by]
    if not isinstance(given, Choices) or any(by not in params for params in found.read):
        return None  # a number that may be 0 is no reason for a condition
    read = [value for value in given.choices if any(params[by] == value for params in found.read)]
    idle = [value for value in given.choices if any(params.get(by) == value for params in found.idle)]
    where = f"in {len(idle):,} of {len(given.choices):,} values of {by} ({_few(idle)})" if idle else f"without {by}"
    return f"{name} has no effect {where}: it needs {need.words}; give it a condition: when: {{{by}: [{_few(read)}]}}."


def _is_given(distribution: Distribution) -> bool:
    """Tell whether every trial has the same value."""
    return isinstance(distribution, Fixed) and distribution.when is None


def _few(values: Sequence[Value]) -> str:
    """List values, of many the first."""
    more = [f"and {len(values) - _MOST_LISTED:,} more"] if len(values) > _MOST_LISTED else []
    return ", ".join([*map(str, values[:_MOST_LISTED]), *more])


def _is_default(distribution: Distribution, row: Hyperparameter) -> bool:
    """Tell whether a distribution has the default alone, which asks for nothing."""
    return isinstance(distribution, Fixed) and distribution.value == row.default


def _needs_of(space: Space, name: str, row: Hyperparameter) -> Iterator[Need]:
    yield from NEEDS.get(row.name, ())
    if name != row.name:
        layer = int(name.rpartition("_")[2])
        layers = f"{layer} hidden layer{'s' if layer > 1 else ''}"
        yield Need(("hidden", "depth"), layers, lambda hp, _task: len(hp.hidden) >= layer)
    elif row.per_layer:
        own = {other for other, given in space.parameters.items() if given.when is None}
        yield Need(
            ("hidden", "depth"),
            f"a hidden layer without a {name} of its own",
            lambda hp, _task: any(f"{name}_{layer}" not in own for layer in range(1, len(hp.hidden) + 1)),
        )


# -- what each hyperparameter needs --------------------------------------------------------------------------------


def _among(by: str, *values: str) -> Need:
    """Make the need that a choice is one of some values."""
    known = set(values)

    def holds(hp: Hyperparameters, _task: Task) -> bool:
        return str(getattr(hp, by)) in known

    return Need((by,), f"{by} {_listed(values)}", holds)


def _of_loss(name: str) -> Need:
    """Make the need that the loss of a trial reads a hyperparameter."""
    names = [loss for loss, row in LOSSES.items() if row.number == name]
    return Need(("loss",), f"loss {_listed(names)}", lambda hp, task: hp.loss_for(task) in names)


def _smooths(hp: Hyperparameters, task: Task) -> bool:
    return LOSSES[hp.loss_for(task)].smooths


def _listed(values: Sequence[str]) -> str:
    *first, last = values
    return f"{', '.join(first)} or {last}" if first else last


_by_optimizer = partial(_among, "optimizer")
_FIRST_ORDER = _by_optimizer(*(name for name, row in OPTIMIZERS.items() if row.family != "lbfgs"))
_BETAS = _by_optimizer(*(name for name, row in OPTIMIZERS.items() if row.rule.uses_betas))
_DECAYS = Need(("weight_decay",), "weight_decay above 0", lambda hp, _: hp.weight_decay > 0)
_EMBEDS = _among("number_embedding", *(name for name in NUMBER_EMBEDDINGS if name != "none"))
_FREQUENCIES = _among("number_embedding", "periodic", "plr", "pbld")
_ACTIVATED = _among("units", *(name for name, row in UNITS.items() if row.is_activated))
_HIDDEN = Need(("hidden", "depth"), "a hidden layer", lambda hp, _: bool(hp.hidden))
_MUON_HIDDEN = Need(
    ("optimizer", "hidden", "depth"),
    "a hidden layer with optimizer muon",
    lambda hp, _: hp.family != "muon" or bool(hp.hidden),
)
_SMOOTHING = Need(("loss",), f"loss {_listed([n for n, row in LOSSES.items() if row.smooths])} of classes", _smooths)

NEEDS: Mapping[str, tuple[Need, ...]] = {
    "activation": (_HIDDEN, _ACTIVATED),
    "width": (_HIDDEN,),
    "units": (_HIDDEN,),
    "dropout": (_HIDDEN,),
    "norm": (_HIDDEN,),
    "norm_momentum": (_among("norm", *(name for name, row in NORMS.items() if row.over_rows)), _HIDDEN),
    "activation_trained": (_HIDDEN, _ACTIVATED),
    "activation_lr_factor": (_among("activation_trained", "unit"), _HIDDEN, _ACTIVATED, _FIRST_ORDER),
    "skip": (
        Need(("hidden", "depth", "width"), "two hidden layers of one width, one above the other",
             lambda hp, _: any(a == b for a, b in pairwise(hp.hidden)), compares=True),
    ),
    "dropout_schedule": (
        Need(("dropout", "input_dropout", "hidden", "depth"), "dropout or input_dropout above 0",
             lambda hp, _: hp.input_dropout > 0 or any(hp.dropout)),
    ),
    "mixup": (
        Need(("loss",), "a loss other than hinge, focal or ordinal", lambda hp, _: replace(hp, mixup=1.0).mixing > 0),
    ),
    "muon_lr": (_by_optimizer(*(name for name, row in OPTIMIZERS.items() if row.family == "muon")), _HIDDEN),
    "first_layer_lr_factor": (_FIRST_ORDER,),
    "output_lr_factor": (_FIRST_ORDER,),
    "bias_lr_factor": (_FIRST_ORDER,),
    "momentum": (_by_optimizer(*(name for name, row in OPTIMIZERS.items() if row.uses_momentum)), _MUON_HIDDEN),
    "beta1": (_BETAS,),
    "beta2": (_BETAS,),
    "rho": (_by_optimizer(*(name for name, row in OPTIMIZERS.items() if row.forgets_squares)),),
    "eps": (_by_optimizer(*(name for name, row in OPTIMIZERS.items() if "second" in row.rule.moments)),),
    "bias_decay_factor": (_DECAYS,),
    "decay_schedule": (_DECAYS, _FIRST_ORDER),
    "decay_towards": (_DECAYS, _FIRST_ORDER),
    "gradient_noise": (_FIRST_ORDER,),
    "scale_lr_with_batch": (
        Need(("batch_size", "optimizer"), "a batch_size other than 128 and than all rows",
             lambda hp, _: replace(hp, scale_lr_with_batch="linear").base_lr != hp.lr),
    ),
    **{name: (_among("schedule", *(s for s, row in SCHEDULES.items() if name in row.reads)),)
       for name in ("decay", "decay_epochs", "cycle_epochs", "cycle_growth", "lr_floor", "cooldown")},
    **{name: (_of_loss(name),) for name in ("huber_delta", "focal_gamma", "tweedie_power")},
    "label_smoothing": (_SMOOTHING,),
    "label_smoothing_to": (
        Need(("label_smoothing",), "label_smoothing above 0", lambda hp, _: hp.label_smoothing > 0),
        _SMOOTHING,
    ),
    "quantile_noise": (_among("scaler", "quantile"),),
    **dict.fromkeys(("embedding_size", "embedding_shared", "embedding_min_values"), (_EMBEDS,)),
    **dict.fromkeys(("embedding_frequencies", "embedding_sigma"), (_FREQUENCIES,)),
    "embedding_bins": (_among("number_embedding", "piecewise"),),
    "category_embedding_size": (Need(("max_one_hot",), "max_one_hot above 0", lambda hp, _: hp.max_one_hot > 0),),
    "embedding_lr_factor": (
        Need(("number_embedding", "max_one_hot", "missing_value"),
             "number_embedding, max_one_hot or missing_value: trained",
             lambda hp, _: (hp.number_embedding, hp.max_one_hot, hp.missing_value) != ("none", 0, "median")),
        _FIRST_ORDER,
    ),
    "input_scale_lr_factor": (_among("input_scale", "trained"), _FIRST_ORDER),
}  # fmt: skip
"""By name, the conditions without which a hyperparameter has no effect; one that has an effect everywhere has none."""
