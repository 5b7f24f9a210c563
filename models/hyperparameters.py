"""The configuration of a trial: its hyperparameters with all defaults filled in.

The names, types, domains and defaults are in `models.catalog.hyperparameters`. The module imports neither torch nor
numpy, so that the master can import it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from foldstep.models.catalog.hyperparameters import ALL_ROWS, REGISTRY, lookup
from foldstep.models.catalog.kinds import Kind, Value
from foldstep.models.catalog.losses import LOSSES, LOSSES_OF_TASK, Link
from foldstep.models.catalog.norms import NORMS
from foldstep.models.catalog.optimizers import OPTIMIZERS
from foldstep.models.catalog.preparation import Preparation
from foldstep.models.catalog.tasks import Task
from foldstep.models.catalog.units import UNITS


@dataclass(frozen=True)
class Hyperparameters:
    """A trial's configuration with all defaults filled in; per-layer fields have one entry for each hidden layer."""

    hidden: tuple[int, ...]
    activation: tuple[str, ...]
    units: str
    dropout: tuple[float, ...]
    norm: str
    norm_momentum: float
    activation_trained: str
    activation_lr_factor: float
    skip: str
    input_dropout: float
    parametrization: str
    dropout_schedule: str
    input_mask: float
    mixup: float
    init: str
    init_gain: float
    bias_init: float
    bias_init_mode: str
    output_init: str
    optimizer: str
    lr: float
    muon_lr: float
    first_layer_lr_factor: float
    output_lr_factor: float
    bias_lr_factor: float
    momentum: float
    beta1: float
    beta2: float
    rho: float
    eps: float
    weight_decay: float
    bias_decay_factor: float
    decay_schedule: str
    decay_towards: str
    l1: float
    clip_norm: float
    gradient_noise: float
    ema_decay: float
    swa_start: float
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
    focal_gamma: float
    tweedie_power: float
    class_weight: str | tuple[tuple[str, float], ...]
    on_divergence: str
    label_smoothing: float
    label_smoothing_to: str
    precision: str
    scaler: str
    quantile_noise: float
    category_min_count: int
    target_transform: str
    clamp_output: str
    number_embedding: str
    embedding_size: int
    embedding_frequencies: int
    embedding_sigma: float
    embedding_bins: int
    embedding_shared: str
    embedding_min_values: int
    max_one_hot: int
    category_embedding_size: int
    embedding_lr_factor: float
    input_scale: str
    input_scale_lr_factor: float
    missing_value: str
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
        """Meaning of the network's output: the standardised target (identity), or the log of its mean (log)."""
        return "identity" if self.loss is None else LOSSES[self.loss].link

    @property
    def loss_number(self) -> float:
        """The number that the formula of its loss depends on; 1 if there is none."""
        name = None if self.loss is None else LOSSES[self.loss].number
        return 1.0 if name is None else float(getattr(self, name))

    @property
    def smoothing(self) -> float:
        """The share of a class's weight spread over all classes, 0 for a loss that knows no smoothing."""
        return self.label_smoothing if self.loss is None or LOSSES[self.loss].smooths else 0.0

    @property
    def preparation(self) -> Preparation:
        """How the data that it trains on is prepared."""
        has_link = self.link != "identity"
        noise = self.quantile_noise if self.scaler == "quantile" else 0.0
        transform = "none" if has_link else self.target_transform
        clamps = self.clamp_output == "train" and not has_link
        return Preparation(self.scaler, self.link, noise, self.max_one_hot, self.category_min_count, transform, clamps)

    @property
    def noise_variance(self) -> float:
        """The variance of the noise on the first gradients; lbfgs has none."""
        return 0.0 if self.family == "lbfgs" else self.gradient_noise

    @property
    def mixing(self) -> float:
        """The alpha of mixup, 0 for a loss of rows that have one class each."""
        loss = None if self.loss is None else LOSSES[self.loss]
        has_one_class = loss is not None and loss.task == "classification" and not loss.smooths
        return 0.0 if has_one_class else self.mixup

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

    @property
    def has_second(self) -> bool:
        """Whether its hidden layers have a second linear map, see `models.catalog.units`."""
        return UNITS[self.units].has_second

    @property
    def trains_activation(self) -> bool:
        """Whether each hidden unit has a trained share of its activation; one without an activation has none."""
        return self.activation_trained == "unit" and UNITS[self.units].is_activated

    @property
    def has_stage(self) -> bool:
        """Whether something may be between its inputs and its first layer, see `models.input_stage`."""
        chosen = (self.number_embedding, self.input_scale, self.missing_value, self.max_one_hot)
        return chosen != ("none", "none", "median", 0)

    @property
    def starts_from_data(self) -> bool:
        """Whether its initial weights or biases are fitted to training rows."""
        return self.init == "data_normal" or self.bias_init_mode == "data"

    def skips(self, layer: int) -> bool:
        """Tell whether a hidden layer (0 for the first) adds its input to its output."""
        return self.skip == "residual" and 0 < layer < len(self.hidden) and self.hidden[layer - 1] == self.hidden[layer]

    def weight_gain(self, n_inputs: int) -> float:
        """Compute the factor on the weights of a layer in its passes: 1 / sqrt(inputs) for ntk, else 1.

        Jacot et al. (2018, section 3), as Holzmüller et al. (2024, arXiv 2407.04491) use it for tables.
        """
        return 1 / math.sqrt(n_inputs) if self.parametrization == "ntk" else 1.0

    def n_parameters(self, n_inputs: int, n_outputs: int) -> int:
        """Count the trained parameters for the given numbers of input and output units."""
        sizes = (n_inputs, *self.hidden, n_outputs)
        biases = sum(n for i, n in enumerate(sizes[1:]) if self.has_bias(i))
        normalised = 2 * sum(self.hidden) if NORMS[self.norm].is_scaled else 0
        shares = sum(self.hidden) if self.trains_activation else 0
        weights = sum(a * b for a, b in itertools.pairwise(sizes))
        return biases + normalised + shares + weights + self.n_second(sizes)

    def n_second(self, sizes: Sequence[int]) -> int:
        """Count the weights and biases of the second linear maps, given the units of every layer from the input on."""
        return sum((a + 1) * b for a, b in itertools.pairwise(sizes[:-1])) if self.has_second else 0


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
    plain: dict[str, Any] = {name: params.get(name, default) for name, default in _DEFAULTS}
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
    plain |= {name: float(plain[name]) for name in _FLOATS}
    return Hyperparameters(**plain)


_DEFAULTS = [(f.name, REGISTRY[f.name].default) for f in fields(Hyperparameters)]
_FLOATS = [name for name, row in REGISTRY.items() if row.kind is Kind.FLOAT and not row.per_layer]


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
