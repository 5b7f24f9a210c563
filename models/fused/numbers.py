"""Where the kernel finds what: its tables are filled by these names in Python and read by the same ones on the GPU."""

from __future__ import annotations

from foldstep.models.catalog.activations import ACTIVATIONS
from foldstep.models.catalog.losses import LOSSES
from foldstep.models.catalog.optimizers import families_of
from foldstep.models.updates import UpdateNumbers

ACTIVATION_NAMES = tuple(name for name, activation in ACTIVATIONS.items() if "fused" in activation.backends)
LOSS_NAMES = tuple(name for name, loss in LOSSES.items() if "fused" in loss.backends)
FAMILY_NAMES = families_of("fused")
"""What members may have, by the numbers that the kernel tells them by."""

MEMBER_COLUMNS = ("group", "stream", "rule", "loss")
LAYER_COLUMNS = ("weight", "bias", "own_units", "row", "activation", "dropped")
"""Of the table of whole numbers: those of the member, then those of each of its layers."""

RULE_COLUMNS = (*UpdateNumbers._fields, "new1", "new2")
REAL_COLUMNS = (*RULE_COLUMNS, "smoothing", "bend")
"""Of the table of real numbers: those of the rule and of the loss; then for each hidden layer the scale of kept units.
`new1` and `new2` are 1 - beta1 and 1 - beta2 with all their digits."""


def bits(names: tuple[str, ...], used: set[str]) -> int:
    """Set a bit for each used name, at its place.

    Raises:
        ValueError: the kernel does not have one of them.
    """
    return sum(1 << names.index(name) for name in used)
