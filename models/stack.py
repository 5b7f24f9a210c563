"""Stacks: one number for every parameter of every member (weight, gradient, moment), in a few tensors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from foldstep.models.catalog.norms import NORMS
from foldstep.models.catalog.parts import PARTS, SECOND
from foldstep.models.hyperparameters import Hyperparameters
from foldstep.models.input_stage import CONSTANTS, VECTORS
from foldstep.models.layout import Block, Layout, Run, Slot, padded
from foldstep.models.weights import Weights

RUNNING = ("running_mean", "running_var")
STATISTICS = tuple(name for name, row in PARTS.items() if not row.is_trained)
"""The parts that no update rule changes: running statistics, and constants of input stages."""
_MATRICES = ("weight", "second_weight")


@dataclass(frozen=True)
class Part:
    """One tensor of a stack.

    Attributes:
        block: index of the layout's block.
        name: a key of `Layer`.
        values: (members, out, in) for matrices, else (members, out, 1).
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


def part_shapes(block: Block, layout: Layout, *, statistics: bool) -> dict[str, tuple[int, int]]:
    """List the parts of a block by name, each with its padded shape for one member."""
    names = part_names(block, layout, statistics=statistics)
    if block.stage is None:
        return {name: (block.n_out, block.n_in if name in _MATRICES else 1) for name in names}
    shapes = block.stage.shapes
    return {n: (padded(shapes[n][0]), 1) if n in VECTORS else (shapes[n][0], padded(shapes[n][1])) for n in names}


def part_names(block: Block, layout: Layout, *, statistics: bool) -> list[str]:
    """List the parts of a block; it has those of a normalisation if at least one member uses it."""
    if block.stage is not None:
        return [name for name in block.stage.shapes if statistics or name not in CONSTANTS]
    hidden = [] if block.is_output else [s.hp for s in layout.slots[block.run.members]]
    norms = [NORMS[hp.norm] for hp in hidden]
    names = ["weight", "bias"]
    if any(norm.is_scaled for norm in norms):
        names += ["scale", "shift"]
    if any(hp.trains_activation for hp in hidden):
        names += ["share"]
    if any(hp.has_second for hp in hidden):
        names += list(SECOND)
    if statistics and any(norm.over_rows for norm in norms):
        names += list(RUNNING)
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
            (i, name, (block.run.length, *shape))
            for i, block in enumerate(layout.blocks)
            for name, shape in part_shapes(block, layout, statistics=statistics).items()
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
        views = []
        for part in self.parts:
            block = layout.blocks[part.block]
            if not block.run.holds(member) or not is_own(part.name, slot.hp, block):
                continue
            n_out, n_in = own_shape(part.name, slot, block, layout.n_outputs)
            values = part.values[member - block.run.start, :n_out, :n_in]
            views.append((block.layer, part.name, values if is_matrix(part.name) else values[:, 0]))
        return views


def noisy_parts(layout: Layout, gradients: Stack) -> list[tuple[int, str]]:
    """List the parts of the members that have noise on their gradients, layer and name: the kinds of the noise keys."""
    noisy = [i for i, slot in enumerate(layout.slots) if slot.hp.noise_variance]
    return sorted({(layer, name) for i in noisy for layer, name, _ in gradients.views(layout, i)})


def own_shape(name: str, slot: Slot, block: Block, n_outputs: int) -> tuple[int, int]:
    """Find the shape of a member's part of a block, without padding; (n, 1) for a vector."""
    if block.stage is not None:
        return block.stage.shapes[name]
    n_in, n_out = slot.sizes(n_outputs)[block.layer : block.layer + 2]
    return n_out, n_in if name in _MATRICES else 1


def is_matrix(name: str) -> bool:
    """Tell whether a part is a matrix, else it is a vector."""
    return name not in ("bias", "scale", "shift", "share", "second_bias", *RUNNING, *VECTORS)


def is_own(name: str, hp: Hyperparameters, block: Block) -> bool:
    """Tell whether a member with such hyperparameters has a part of that name in a block.

    A layer before a batch normalisation has no bias: the mean is subtracted, so its gradient would be rounding noise.
    """
    if block.stage is not None:
        return True
    if name == "weight" or block.is_output:
        return name in ("weight", "bias")
    if name == "bias":
        return not NORMS[hp.norm].over_rows
    if name == "share":
        return hp.trains_activation
    if name in SECOND:
        return hp.has_second
    return NORMS[hp.norm].over_rows if name in RUNNING else NORMS[hp.norm].is_scaled
