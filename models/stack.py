"""Stacks: one number for every parameter of every member (weight, gradient, moment), in a few tensors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from foldstep.models.catalog.norms import NORMS
from foldstep.models.layout import Block, Layout, Run

Layer = dict[str, np.ndarray]
"""One layer of one network without padding, by name: weight (out, in), bias (out,), and where the layer is
normalised scale, shift (out,), for batch normalisation also running_mean, running_var (out,)."""
Weights = list[Layer]
"""The layers of one network without padding, from the first to the output layer."""

PARAMETERS = ("weight", "bias", "scale", "shift")
STATISTICS = ("running_mean", "running_var")


@dataclass(frozen=True)
class Part:
    """One tensor of a stack.

    Attributes:
        block: index of the layout's block.
        name: a key of `Layer`.
        values: (members, out, in) for weights, else (members, out, 1).
        flat: a view of `values`, (members, numbers).
    """

    block: int
    name: str
    values: Tensor
    flat: Tensor


@dataclass(frozen=True)
class MemberRows:
    """A tensor (members of the run, ...) and the run of members whose numbers it holds."""

    run: Run
    values: Tensor


def part_names(block: Block, layout: Layout, *, statistics: bool) -> list[str]:
    """List the parts of a block; it has those of a normalisation if at least one member uses it."""
    norms = [] if block.is_output else [NORMS[s.hp.norm] for s in layout.slots[block.run.members]]
    names = ["weight", "bias"]
    if any(norm.is_scaled for norm in norms):
        names += ["scale", "shift"]
    if statistics and any(norm.over_rows for norm in norms):
        names += list(STATISTICS)
    return names


class Stack:
    """The parameters of all members, or their gradients or moments: one flat buffer, divided into parts.

    Args:
        layout: the members.
        dtype: type of the numbers.
        device: device of the buffer.
        statistics: whether it includes the running statistics of batch normalisation.
    """

    def __init__(self, layout: Layout, dtype: torch.dtype, device: torch.device, *, statistics: bool = False) -> None:
        shapes = [
            (i, name, (block.run.length, block.n_out, block.n_in if name == "weight" else 1))
            for i, block in enumerate(layout.blocks)
            for name in part_names(block, layout, statistics=statistics)
        ]
        self.buffer = torch.zeros(sum(m * o * i for _, _, (m, o, i) in shapes), dtype=dtype, device=device)
        self.parts: list[Part] = []
        at = 0
        for block, name, shape in shapes:
            n = shape[0] * shape[1] * shape[2]
            values = self.buffer[at : at + n].view(shape)
            self.parts.append(Part(block, name, values, values.flatten(1)))
            at += n
        self._by_name = {(p.block, p.name): p.values for p in self.parts}

    def of(self, block: int, name: str) -> Tensor:
        """Look up the values of one part, by the index of its block and its name."""
        return self._by_name[block, name]

    def has(self, block: int, name: str) -> bool:
        """Tell whether the stack has a part with that block and name."""
        return (block, name) in self._by_name

    def member_rows(self, layout: Layout) -> list[MemberRows]:
        """List all parts, each with the run of members that it belongs to."""
        return [MemberRows(layout.blocks[p.block].run, p.flat) for p in self.parts]

    def put(self, layout: Layout, member: int, weights: Weights) -> None:
        """Write one member's numbers; the padding is not changed."""
        for layer, name, view in self.views(layout, member):
            view.copy_(torch.from_numpy(np.asarray(weights[layer][name])))

    def take(self, layout: Layout, member: int) -> Weights:
        """Read one member's numbers, without padding."""
        layers: Weights = [{} for _ in range(layout.slots[member].depth + 1)]
        for layer, name, view in self.views(layout, member):
            layers[layer][name] = view.cpu().numpy().copy()
        return layers

    def views(self, layout: Layout, member: int) -> list[tuple[int, str, Tensor]]:
        """List views of one member's numbers without padding: layer (0 for the first), name, values."""
        slot = layout.slots[member]
        sizes = slot.sizes(layout.n_outputs)
        views = []
        for part in self.parts:
            block = layout.blocks[part.block]
            if not block.run.holds(member) or not is_own(part.name, slot.hp.norm, block):
                continue
            n_out, n_in = sizes[block.layer + 1], sizes[block.layer]
            values = part.values[member - block.run.start, :n_out]
            views.append((block.layer, part.name, values[:, :n_in] if part.name == "weight" else values[:, 0]))
        return views


def is_own(name: str, norm: str, block: Block) -> bool:
    """Tell whether a member with that normalisation has a part of that name in a block.

    A layer before a batch normalisation has no bias: the mean is subtracted, so its gradient would be rounding noise.
    """
    if name == "weight" or block.is_output:
        return name in ("weight", "bias")
    if name == "bias":
        return not NORMS[norm].over_rows
    return NORMS[norm].over_rows if name in STATISTICS else NORMS[norm].is_scaled
