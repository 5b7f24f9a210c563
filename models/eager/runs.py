"""What the members of a hidden layer have in common: the runs of a pack to which one operation applies."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from foldstep.models.catalog.units import UNITS
from foldstep.models.eager.normalization import Normalization
from foldstep.models.layout import Block, Layout, Run


def unit_mask(layout: Layout, layer: int, dtype: torch.dtype) -> Tensor:
    """Make a mask of a hidden layer, (members with it, padded units, 1): 1 for a unit, 0 for padding."""
    mask = torch.zeros(layout.active[layer], layout.widths[layer], 1, dtype=dtype)
    for i, slot in enumerate(layout.slots[: layout.active[layer]]):
        mask[i, : slot.hp.hidden[layer]] = 1
    return mask


class ActivationRun(NamedTuple):
    """A run of members with the same activation in a hidden layer.

    Attributes:
        name: of the activation.
        is_trained: whether units have trained shares of it.
        is_joined: whether it is joined with a second linear map.
        run: the members.
    """

    name: str
    is_trained: bool
    is_joined: bool
    run: Run


def activation_runs(layout: Layout, layer: int) -> list[ActivationRun]:
    """List the runs of a hidden layer with the same activation; members whose units have none are in none."""
    runs = layout.runs(
        lambda s: (s.hp.activation[layer], s.hp.trains_activation, UNITS[s.hp.units]), stop=layout.active[layer]
    )
    known = [(run, *of) for of, run in runs]
    return [
        ActivationRun(name, trains, units.has_second, run) for run, name, trains, units in known if units.is_activated
    ]


def normalizations(layout: Layout, layer: int, units: Tensor) -> list[Normalization]:
    """Make the normalisations of a hidden layer; `units` is its mask."""
    runs = layout.runs(lambda s: (s.hp.norm, s.hp.norm_momentum), stop=layout.active[layer])
    return [Normalization(kind, run, units, momentum) for (kind, momentum), run in runs if kind != "none"]


def skip_runs(layout: Layout, layer: int) -> list[Run]:
    """List the runs of members that add the input of a hidden layer to its output."""
    runs = layout.runs(lambda s: s.hp.skips(layer), stop=layout.active[layer])
    return [run for skips, run in runs if skips]


def gains_of(layout: Layout, block: Block, dtype: torch.dtype, device: torch.device) -> Tensor | None:
    """Make the factors on the weights of a block, (members, 1, 1); None if all are 1."""
    slots = layout.slots[block.run.members]
    gains = [slot.hp.weight_gain(slot.sizes(layout.n_outputs)[block.layer]) for slot in slots]
    if all(gain == 1 for gain in gains):
        return None
    return torch.tensor(gains, dtype=dtype, device=device).view(-1, 1, 1)
