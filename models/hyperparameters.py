"""The hyperparameters of a trial: names, types, domains and defaults.

They are defined only here. A spec is validated against the table `REGISTRY`, the planner draws values from its
domains, and the engine trains the configuration that `resolve` returns. The module imports neither torch nor numpy, so
that the master can import it.

A new hyperparameter is one row in `REGISTRY` and one field in `Hyperparameters`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any, TypeAlias

from foldstep.models.catalog.activations import ACTIVATIONS
from foldstep.models.catalog.losses import LOSSES, LOSSES_OF_TASK, Link
from foldstep.models.catalog.norms import NORMS
from foldstep.models.catalog.optimizers import OPTIMIZERS
from foldstep.models.catalog.schedules import SCHEDULES
from foldstep.models.catalog.tasks import Task

Value: TypeAlias = bool | int | float | str | list[int] | dict[str, float] | None
"""A value of a hyperparameter; a list of ints holds widths, a mapping a weight for each class."""

MAX_DEPTH = 64
MAX_WIDTH = 65_536
ALL_ROWS = 2**31 - 1
"""The batch size that stands for the whole training part."""
LEAST_EPS = 1e-30
"""Least value of `eps`. Much smaller values are rounded to 0 in float32 and no longer prevent a division by zero."""


class Kind(StrEnum):
    """The type of a hyperparameter's values."""

    FLOAT = "float"
    INT = "int"
    CHOICE = "choice"
    WIDTHS = "widths"
    CLASS_WEIGHT = "class_weight"


@dataclass(frozen=True)
class Hyperparameter:
    """One row of the table.

    Attributes:
        name: the key in a spec's `parameters`.
        kind: the type of its values.
        default: the value if a spec does not name it; None if it depends on other hyperparameters, see `resolve`.
        low: least allowed value (numbers); None for no bound.
        high: greatest allowed value (numbers); None for no bound.
        low_open: whether `low` itself is excluded.
        high_open: whether `high` itself is excluded.
        choices: the allowed names (`Kind.CHOICE`).
        per_layer: whether the keys `name_1`, `name_2`, … set it for single hidden layers.
        meaning: its description in the documentation, one line.
    """

    name: str
    kind: Kind
    default: Value
    meaning: str
    low: float | None = None
    high: float | None = None
    low_open: bool = False
    high_open: bool = False
    choices: tuple[str, ...] = ()
    per_layer: bool = False

    @property
    def domain(self) -> str:
        """The allowed values, in words, as error messages show them."""
        if self.kind is Kind.CHOICE:
            return "one of " + ", ".join(self.choices)
        if self.kind is Kind.WIDTHS:
            return f"a list of widths, each a whole number from 1 to {MAX_WIDTH}"
        if self.kind is Kind.CLASS_WEIGHT:
            return "none, balanced, or a mapping of classes to weights above 0 (others weigh 1)"
        noun = "a whole number" if self.kind is Kind.INT else "a number"
        parts = []
        if self.low is not None:
            parts.append(f"{'above' if self.low_open else 'at least'} {_plain(self.low)}")
        if self.high is not None:
            parts.append(f"{'below' if self.high_open else 'at most'} {_plain(self.high)}")
        return f"{noun} {' and '.join(parts)}" if parts else noun

    def allows(self, value: Value) -> bool:
        """Tell whether `value` has the right type and lies in the domain."""
        if self.kind is Kind.CHOICE:
            return isinstance(value, str) and value in self.choices
        if self.kind is Kind.WIDTHS:
            return _is_widths(value)
        if self.kind is Kind.CLASS_WEIGHT:
            return value in ("none", "balanced") or _is_class_weights(value)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        if self.kind is Kind.INT and not isinstance(value, int):
            return False
        return math.isfinite(value) and self._within(value)

    def _within(self, value: float) -> bool:
        too_low = self.low is not None and (value < self.low or (self.low_open and value == self.low))
        too_high = self.high is not None and (value > self.high or (self.high_open and value == self.high))
        return not (too_low or too_high)


def _plain(bound: float) -> str:
    return str(bound) if isinstance(bound, int) else f"{bound:g}"


def _is_widths(value: Value) -> bool:
    if not isinstance(value, list) or len(value) > MAX_DEPTH:
        return False
    return all(isinstance(w, int) and not isinstance(w, bool) and 1 <= w <= MAX_WIDTH for w in value)


def _is_class_weights(value: Value) -> bool:
    if not isinstance(value, dict) or not value:
        return False
    weights = value.values()
    return all(isinstance(w, int | float) and not isinstance(w, bool) and 0 < w < math.inf for w in weights)


INITS = (
    "uniform", "lecun_uniform", "lecun_normal", "glorot_uniform", "glorot_normal", "he_uniform", "he_normal",
    "orthogonal",
)  # fmt: skip
BATCH_SCALINGS = ("none", "linear", "sqrt")
ON_DIVERGENCE = ("stop", "restart")
PRECISIONS = ("float32", "tf32", "bfloat16")
SCALERS = ("none", "center", "standard", "minmax", "robust", "quantile", "whiten")

_F, _I, _C = Kind.FLOAT, Kind.INT, Kind.CHOICE

_ROWS = (
    Hyperparameter("hidden", Kind.WIDTHS, None, "widths of the hidden layers; replaces depth and width"),
    Hyperparameter("depth", _I, 2, "number of hidden layers", low=0, high=MAX_DEPTH),
    Hyperparameter("width", _I, 64, "units of each hidden layer", low=1, high=MAX_WIDTH, per_layer=True),
    Hyperparameter(
        "activation", _C, "relu", "nonlinearity of the hidden layers", choices=tuple(ACTIVATIONS), per_layer=True
    ),
    Hyperparameter(
        "dropout", _F, 0.0, "share of hidden units dropped in a step", low=0, high=1, high_open=True,
        per_layer=True,
    ),
    Hyperparameter(
        "norm", _C, "none", "normalisation of the hidden layers, before the activation", choices=tuple(NORMS)
    ),
    Hyperparameter("input_dropout", _F, 0.0, "share of inputs dropped in a step", low=0, high=1, high_open=True),
    Hyperparameter("init", _C, "he_uniform", "distribution of the initial weights", choices=INITS),
    Hyperparameter("init_gain", _F, 1.0, "factor on the initial weights", low=0, low_open=True),
    Hyperparameter("bias_init", _F, 0.0, "initial value of the biases"),
    Hyperparameter("optimizer", _C, "adam", "update rule", choices=tuple(OPTIMIZERS)),
    Hyperparameter("lr", _F, None, "learning rate; 0.001, for lbfgs 1 when left out", low=0, low_open=True),
    Hyperparameter(
        "momentum", _F, None, "momentum of the sgd family; 0 for sgd, 0.9 for momentum and nesterov",
        low=0, high=1, high_open=True,
    ),
    Hyperparameter("beta1", _F, 0.9, "decay of Adam's first moment", low=0, high=1, high_open=True),
    Hyperparameter("beta2", _F, 0.999, "decay of Adam's second moment", low=0, high=1, high_open=True),
    Hyperparameter("rho", _F, 0.99, "decay of rmsprop's squared gradients", low=0, high=1, high_open=True),
    Hyperparameter("eps", _F, 1e-8, "guard against division by zero of the adaptive optimizers", low=LEAST_EPS),
    Hyperparameter("weight_decay", _F, 0.0, "L2 penalty; decoupled for adamw", low=0),
    Hyperparameter("l1", _F, 0.0, "L1 penalty", low=0),
    Hyperparameter("clip_norm", _F, 0.0, "greatest norm of a member's gradient; 0 for no limit", low=0),
    Hyperparameter(
        "ema_decay", _F, 0.0, "decay of the running average of the weights, which is then what is scored; 0 for none",
        low=0, high=1, high_open=True,
    ),
    Hyperparameter("schedule", _C, "constant", "course of the learning rate", choices=tuple(SCHEDULES)),
    Hyperparameter("warmup_epochs", _I, 0, "epochs of linear rise before the schedule begins", low=0),
    Hyperparameter(
        "decay", _F, 0.5, "factor of step, exponential and plateau", low=0, low_open=True, high=1,
    ),
    Hyperparameter(
        "decay_epochs", _I, 10, "epochs to one factor; time scale of the inverse ones; patience of plateau", low=1
    ),
    Hyperparameter("cycle_epochs", _I, 10, "epochs of the first cosine cycle, or of half a triangle", low=1),
    Hyperparameter("cycle_growth", _I, 1, "factor by which every cosine cycle is longer than the last", low=1),
    Hyperparameter("lr_floor", _F, 0.0, "least rate of linear, cosine, trapezoidal and cyclical, as a share of lr",
                   low=0, high=1),
    Hyperparameter("cooldown", _F, 0.3, "share of the epochs in which trapezoidal falls; in which one_cycle rises",
                   low=0, low_open=True, high=1, high_open=True),
    Hyperparameter("scale_lr_with_batch", _C, "none", "lr times batch_size / 128, or its square root",
                   choices=BATCH_SCALINGS),
    Hyperparameter("batch_size", _I, None, "rows in a step; 128, for lbfgs all of them when left out",
                   low=1, high=ALL_ROWS),
    Hyperparameter("epochs", _I, 30, "passes over the training part", low=1, high=1_000_000),
    Hyperparameter(
        "patience", _I, 0, "epochs without a better validation score before stopping; 0 never stops", low=0
    ),
    Hyperparameter(
        "loss", _C, None, "what training minimises; cross_entropy for classes, mse for numbers when left out",
        choices=tuple(LOSSES),
    ),
    Hyperparameter(
        "huber_delta", _F, 1.0, "error at which huber goes from squared to absolute, in standard deviations",
        low=0, low_open=True,
    ),
    Hyperparameter("class_weight", Kind.CLASS_WEIGHT, "none", "weight of each class in the loss"),
    Hyperparameter(
        "on_divergence", _C, "stop",
        "what a loss that is not finite leads to: the end, or a new try from the best epoch so far at a tenth of "
        "the rate, at most twice", choices=ON_DIVERGENCE,
    ),
    Hyperparameter("label_smoothing", _F, 0.0, "share of a class's weight spread over all classes", low=0, high=1,
                   high_open=True),
    Hyperparameter(
        "precision", _C, "float32",
        "what the factors of matrix products may be rounded to in training, where a device is faster for it: a GPU "
        "rounds to tf32 for both of the lower ones, a CPU with AMX to bfloat16", choices=PRECISIONS,
    ),
    Hyperparameter("scaler", _C, "standard", "scaling of numeric columns", choices=SCALERS),
    Hyperparameter("seed", _I, None, "seed of weights, data order and noise; the search's when left out",
                   low=0, high=2**63 - 1),
)  # fmt: skip

REGISTRY: dict[str, Hyperparameter] = {row.name: row for row in _ROWS}
"""All hyperparameters by name, in the order of the documentation."""


def lookup(name: str) -> Hyperparameter | None:
    """Find the row for a key of a spec, which may name one layer (`width_2`); return None for an unknown key."""
    if name in REGISTRY:
        return REGISTRY[name]
    base, _, layer = name.rpartition("_")
    row = REGISTRY.get(base)
    if row is None or not row.per_layer or not layer.isdecimal() or layer.startswith("0"):
        return None
    return row if int(layer) <= MAX_DEPTH else None


@dataclass(frozen=True)
class Hyperparameters:
    """A trial's configuration with all defaults filled in; per-layer fields have one entry for each hidden layer."""

    hidden: tuple[int, ...]
    activation: tuple[str, ...]
    dropout: tuple[float, ...]
    norm: str
    input_dropout: float
    init: str
    init_gain: float
    bias_init: float
    optimizer: str
    lr: float
    momentum: float
    beta1: float
    beta2: float
    rho: float
    eps: float
    weight_decay: float
    l1: float
    clip_norm: float
    ema_decay: float
    schedule: str
    warmup_epochs: int
    decay: float
    decay_epochs: int
    cycle_epochs: int
    cycle_growth: int
    lr_floor: float
    cooldown: float
    scale_lr_with_batch: str
    batch_size: int
    epochs: int
    patience: int
    loss: str | None
    huber_delta: float
    class_weight: str | tuple[tuple[str, float], ...]
    on_divergence: str
    label_smoothing: float
    precision: str
    scaler: str
    seed: int

    @property
    def base_lr(self) -> float:
        """The learning rate before any schedule, scaled with the batch size according to `scale_lr_with_batch`.

        Linear scaling is that of Goyal et al. (2017), the square root that of Krizhevsky (2014).
        """
        ratio = 1.0 if self.batch_size == ALL_ROWS else self.batch_size / 128
        return self.lr * {"none": 1.0, "linear": ratio, "sqrt": math.sqrt(ratio)}[self.scale_lr_with_batch]

    @property
    def link(self) -> Link:
        """Meaning of the network's output: the standardised target (identity), or the log of a count's mean (log)."""
        return "identity" if self.loss is None else LOSSES[self.loss].link

    @property
    def family(self) -> str:
        """The family of its optimizer, a key of `FAMILIES`."""
        return OPTIMIZERS[self.optimizer].family

    def loss_for(self, task: Task) -> str:
        """Name the loss that training minimises in a search of that task."""
        return self.loss or LOSSES_OF_TASK[task][0]

    def has_bias(self, layer: int) -> bool:
        """Tell whether a layer (0 for the first) has biases; before a batch normalisation they would have no effect."""
        return not NORMS[self.norm].over_rows or layer == len(self.hidden)

    def n_parameters(self, n_inputs: int, n_outputs: int) -> int:
        """Count the trained parameters for the given numbers of input and output units."""
        sizes = (n_inputs, *self.hidden, n_outputs)
        biases = sum(n for i, n in enumerate(sizes[1:]) if self.has_bias(i))
        normalised = 2 * sum(self.hidden) if NORMS[self.norm].is_scaled else 0
        return biases + normalised + sum(a * b for a, b in itertools.pairwise(sizes))


def resolve(params: Mapping[str, Value], *, seed: int = 0) -> Hyperparameters:
    """Fill in all defaults.

    Args:
        params: values by the name of the hyperparameter, as a trial stores them.
        seed: the search's seed, used if `params` has no seed.

    Raises:
        ValueError: an unknown name, or a value outside its domain.
    """
    for name, value in params.items():
        row = lookup(name)
        if row is None:
            raise ValueError(f"unknown hyperparameter {name!r}")
        if not row.allows(value):
            raise ValueError(f"{name}: expected {row.domain}, however: {value!r}")
    hidden = _hidden(params)
    optimizer = OPTIMIZERS[str(params.get("optimizer", REGISTRY["optimizer"].default))]
    plain: dict[str, Any] = {f.name: params.get(f.name, REGISTRY[f.name].default) for f in fields(Hyperparameters)}
    plain |= {
        "hidden": hidden,
        "activation": _per_layer("activation", params, len(hidden)),
        "dropout": tuple(float(v) for v in _per_layer("dropout", params, len(hidden))),  # type: ignore[arg-type]
        "momentum": params.get("momentum", optimizer.momentum),
        "lr": params.get("lr", optimizer.lr),
        "batch_size": params.get("batch_size", ALL_ROWS if optimizer.rule.takes_all_rows else 128),
        "class_weight": _class_weight(plain["class_weight"]),
        "seed": params.get("seed", seed),
    }
    plain |= {n: float(plain[n]) for n, row in REGISTRY.items() if row.kind is Kind.FLOAT and not row.per_layer}
    return Hyperparameters(**plain)


def _class_weight(value: Any) -> str | tuple[tuple[str, float], ...]:
    return tuple(sorted((c, float(w)) for c, w in value.items())) if isinstance(value, dict) else str(value)


def _hidden(params: Mapping[str, Value]) -> tuple[int, ...]:
    widths = params.get("hidden")
    if isinstance(widths, list):
        return tuple(int(params.get(f"width_{i}", w)) for i, w in enumerate(widths, start=1))  # type: ignore[arg-type]
    depth = params.get("depth", REGISTRY["depth"].default)
    assert isinstance(depth, int)
    return tuple(_per_layer("width", params, depth))  # type: ignore[arg-type]


def _per_layer(name: str, params: Mapping[str, Value], n_layers: int) -> tuple[Value, ...]:
    plain = params.get(name, REGISTRY[name].default)
    return tuple(params.get(f"{name}_{i}", plain) for i in range(1, n_layers + 1))
