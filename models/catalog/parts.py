"""The parts of a layer: which of them are trained, and the hyperparameters that are factors on their rate and decay.

A part whose learning rate or weight decay has a factor of its own names that hyperparameter here; the update rules of
all backends read this table through `models.updates.part_factors`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class PartRow:
    """One part of a layer.

    Attributes:
        rate: the hyperparameter that is the factor on its learning rate; None for a factor of 1.
        decay: the hyperparameter that is the factor on its weight decay; None for a factor of 1.
        is_linear: whether the factors of whole layers apply to it, `first_layer_lr_factor` and `output_lr_factor`.
        is_matrix: whether muon makes its updates orthogonal in hidden layers.
        is_trained: whether an update rule changes it; else it is a running statistic, or a constant.
    """

    rate: str | None = None
    decay: str | None = None
    is_linear: bool = False
    is_matrix: bool = False
    is_trained: bool = True


PARTS: Mapping[str, PartRow] = {
    "weight": PartRow(is_linear=True, is_matrix=True),
    "bias": PartRow(rate="bias_lr_factor", decay="bias_decay_factor", is_linear=True),
    "scale": PartRow(),
    "shift": PartRow(),
    "share": PartRow(rate="activation_lr_factor"),
    "second_weight": PartRow(is_linear=True, is_matrix=True),
    "second_bias": PartRow(rate="bias_lr_factor", decay="bias_decay_factor", is_linear=True),
    "running_mean": PartRow(is_trained=False),
    "running_var": PartRow(is_trained=False),
    "frequency": PartRow(rate="embedding_lr_factor"),
    "phase": PartRow(rate="embedding_lr_factor"),
    "linear": PartRow(rate="embedding_lr_factor"),
    "linear_bias": PartRow(rate="embedding_lr_factor"),
    "edge": PartRow(is_trained=False),
    "inverse_width": PartRow(is_trained=False),
    "category": PartRow(rate="embedding_lr_factor"),
    "missing": PartRow(rate="embedding_lr_factor"),
    "input_scale": PartRow(rate="input_scale_lr_factor"),
}
"""By the part's name in `models.stack`, in the order of the compiled library's fields."""

LINEAR = ("weight", "bias")
"""The parts of a layer's linear map."""
SECOND = ("second_weight", "second_bias")
"""The parts of the second linear map of units that have one, see `models.catalog.units`."""
