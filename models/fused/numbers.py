"""The columns of the kernel's tables, by name: Python fills the tables and the kernel reads them by these names."""

from __future__ import annotations

from foldstep.models.catalog.activations import ACTIVATIONS
from foldstep.models.catalog.losses import LOSSES
from foldstep.models.catalog.optimizers import families_of
from foldstep.models.updates import UpdateNumbers

ACTIVATION_NAMES = tuple(name for name, activation in ACTIVATIONS.items() if "fused" in activation.backends)
LOSS_NAMES = tuple(name for name, loss in LOSSES.items() if "fused" in loss.backends)
FAMILY_NAMES = families_of("fused")
"""The activations, losses and families that the kernel has; it knows each by its index here."""

MEMBER_COLUMNS = ("group", "stream", "rule", "loss")
LAYER_COLUMNS = ("weight", "bias", "own_units", "row", "activation", "dropped")
"""Columns of the table of whole numbers: first those of the member, then those of each of its layers."""

RULE_COLUMNS = (*UpdateNumbers._fields, "new1", "new2")
REAL_COLUMNS = (*RULE_COLUMNS, "smoothing", "number")
"""Columns of the table of real numbers: the rule and the loss; the scale of kept units of each hidden layer follows.
`new1` and `new2` are 1 - beta1 and 1 - beta2, computed in double precision."""


def bits(names: tuple[str, ...], used: set[str]) -> int:
    """Set a bit for each used name, at its index in `names`.

    Raises:
        ValueError: one of the used names is not in `names`.
    """
    return sum(1 << names.index(name) for name in used)
