"""The packed FNN: many small networks as one stacked network, with forward and backward passes by hand.

Axis order is (member, unit, column): a column is one row of the batch. With units before columns the first
layer of all members that read the same data is one matrix product, softmax runs over whole vectors, and a
layer's activations are one contiguous block for each member.

The backward pass is the lecture-note one: delta of a layer = (weights above)^T delta above, times the
activation's derivative; weight gradient = delta times activations below, transposed; bias gradient = sum of
delta over the batch. Autograd on `models.fnn.FNN` is the oracle in the tests.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from models.activations import ACTIVATIONS
from models.init import initial_weights
from models.layout import Block, Layout, Run
from models.noise import counters, dropout_noise, threshold

Weights = list[tuple[np.ndarray, np.ndarray]]
"""One network without padding: for each layer (weights (out, in), biases (out,))."""


class Stack:
    """One number for every parameter of every member: the parameters, a gradient, an optimizer moment.

    One flat buffer; `weights[i]` is (members, out, in) and `biases[i]` (members, out, 1) of the layout's block i.
    """

    def __init__(self, layout: Layout, dtype: torch.dtype, device: torch.device) -> None:
        sizes = [(len(range(*b.run.members.indices(len(layout)))), b.n_out, b.n_in) for b in layout.blocks]
        self.flat = torch.zeros(sum(m * o * (i + 1) for m, o, i in sizes), dtype=dtype, device=device)
        self.weights: list[Tensor] = []
        self.biases: list[Tensor] = []
        at = 0
        for m, n_out, n_in in sizes:
            self.weights.append(self.flat[at : at + m * n_out * n_in].view(m, n_out, n_in))
            at += m * n_out * n_in
            self.biases.append(self.flat[at : at + m * n_out].view(m, n_out, 1))
            at += m * n_out

    def parts(self) -> list[Tensor]:
        """Every block's weights and biases as (members, numbers) views."""
        return [t.flatten(1) for pair in zip(self.weights, self.biases, strict=True) for t in pair]


@dataclass(frozen=True)
class Dropout:
    """The keys of one step's noise.

    Attributes:
        keys: (hidden layers, streams, 2, 1, 1) int32: multiplier and offset of each stream.
    """

    keys: Tensor


class Workspace:
    """Buffers for one pass over `n_columns` columns, allocated once.

    `hidden[l]` is (members with layer l, padded width, columns): activations after the pass; `outputs` is
    (members, padded outputs, columns).
    """

    def __init__(self, net: PackedFNN, n_columns: int, *, backward: bool) -> None:
        layout = net.layout
        shapes = [(layout.active[i], layout.widths[i], n_columns) for i in range(layout.depth)]
        self.hidden = [net.empty(*shape) for shape in shapes]
        self.outputs = net.empty(len(layout), layout.n_outputs_padded, n_columns)
        self.deltas = [net.empty(*shape) for shape in shapes] if backward else []
        self.output_delta = torch.zeros_like(self.outputs) if backward else self.outputs
        self.dropped = list(self.hidden)
        self.masks: list[Tensor] = []
        self.positions: list[Tensor] = []
        if backward and net.drops:
            self.dropped = [torch.empty_like(h) if net.dropout_runs[i] else h for i, h in enumerate(self.hidden)]
            self.masks = [torch.empty(s, dtype=torch.bool, device=net.device) for s in shapes]
            self.positions = [counters(width, n_columns, net.device) for _, width, _ in shapes]


class PackedFNN:
    """The stacked networks of a layout.

    The i-th member computes what an `FNN` with its hyperparameters computes.

    Args:
        layout: the members.
        dtype: float32 for training; float64 in tests.
        device: where the weights live.
    """

    def __init__(self, layout: Layout, dtype: torch.dtype, device: torch.device) -> None:
        self.layout, self.dtype, self.device = layout, dtype, device
        self.parameters = Stack(layout, dtype, device)
        self.gradients = Stack(layout, dtype, device)
        self._hidden = [b for b in layout.blocks if not b.is_output]
        self._outputs = [(i, b) for i, b in enumerate(layout.blocks) if b.is_output]
        self._activation_runs = [self._find_activation_runs(i) for i in range(layout.depth)]
        self._padded_units = [self._unit_mask(i) for i in range(layout.depth)]
        self.streams = sorted({s.stream for s in layout.slots})
        self.dropout_runs = [self._find_dropout_runs(i) for i in range(layout.depth)]
        self._keep_scale, self._thresholds = self._dropout_numbers()

    @property
    def drops(self) -> bool:
        """Whether any member has dropout."""
        return any(self.dropout_runs)

    def empty(self, *shape: int) -> Tensor:
        """An uninitialised tensor of the network's type and device."""
        return torch.empty(shape, dtype=self.dtype, device=self.device)

    # -- members in and out -------------------------------------------------------------------------------

    def initialise(self) -> None:
        """Give every member its initial weights, which depend on its own seed and sizes alone."""
        for i, slot in enumerate(self.layout.slots):
            sizes = slot.sizes(self.layout.n_outputs)
            weights = [
                (
                    initial_weights(slot.hp.init, slot.hp.seed, layer, sizes[layer], sizes[layer + 1]),
                    np.zeros(sizes[layer + 1]),
                )
                for layer in range(len(sizes) - 1)
            ]
            self.put(i, weights, self.parameters)

    def put(self, member: int, values: Weights, stack: Stack) -> None:
        """Write one member's numbers, without padding, into a stack."""
        for (w, b), (weights, biases) in zip(values, self._views(member, stack), strict=True):
            weights.copy_(torch.from_numpy(w))
            biases.copy_(torch.from_numpy(b))

    def take(self, member: int, stack: Stack) -> Weights:
        """Read one member's numbers, without padding, out of a stack."""
        return [(w.cpu().numpy().copy(), b.cpu().numpy().copy()) for w, b in self._views(member, stack)]

    def _views(self, member: int, stack: Stack) -> list[tuple[Tensor, Tensor]]:
        sizes = self.layout.slots[member].sizes(self.layout.n_outputs)
        views = []
        for i, block in enumerate(self.layout.blocks):
            if block.run.start <= member < block.run.stop and block.layer < len(sizes) - 1:
                row, n_out, n_in = member - block.run.start, sizes[block.layer + 1], sizes[block.layer]
                views.append((stack.weights[i][row, :n_out, :n_in], stack.biases[i][row, :n_out, 0]))
        return views

    # -- forward ------------------------------------------------------------------------------------------

    def forward(self, inputs: Sequence[Tensor], space: Workspace, dropout: Dropout | None = None) -> Tensor:
        """Compute the outputs of all members.

        Args:
            inputs: for each data group (columns, padded inputs).
            space: buffers for that many columns; `space.hidden` holds the activations afterwards.
            dropout: this step's noise; None in evaluation.

        Returns:
            `space.outputs`, (members, padded outputs, columns): logits or standardised predictions.
        """
        below: Sequence[Tensor] = space.dropped if dropout is not None else space.hidden
        for i, block in enumerate(self._hidden):
            self._linear(i, block, inputs, below, space.hidden[i])
            self._activate(i, space.hidden[i])
            if dropout is not None and self.dropout_runs[i]:
                self._drop(i, space, dropout)
        for i, block in self._outputs:
            self._linear(i, block, inputs, below, space.outputs[block.run.members])
        return space.outputs

    def _linear(self, i: int, block: Block, inputs: Sequence[Tensor], hidden: Sequence[Tensor], out: Tensor) -> None:
        weights, biases = self.parameters.weights[i], self.parameters.biases[i]
        if block.layer > 0:
            torch.baddbmm(biases, weights, hidden[block.layer - 1][block.run.members], out=out)
            return
        for group, run in self._groups_in(block):
            rows = run.members
            torch.addmm(
                biases[rows].flatten(0, 1),
                weights[rows].flatten(0, 1),
                inputs[group].t(),
                out=out[rows].flatten(0, 1),
            )

    def _groups_in(self, block: Block) -> list[tuple[int, Run]]:
        """The group runs inside a first-layer block, counted from the block's first member."""
        first, last = block.run.start, block.run.stop
        cut = [(g, max(r.start, first), min(r.stop, last)) for g, r in self.layout.group_runs]
        return [(g, Run(a - first, b - first)) for g, a, b in cut if a < b]

    def _activate(self, i: int, hidden: Tensor) -> None:
        for name, run in self._activation_runs[i]:
            activation = ACTIVATIONS[name]
            activation.forward(hidden[run.members])
            if not activation.zero_at_zero:
                hidden[run.members].mul_(self._padded_units[i][run.members])

    def _drop(self, i: int, space: Workspace, dropout: Dropout) -> None:
        keys = dropout.keys[i]
        noise = dropout_noise(space.positions[i], keys[:, 0], keys[:, 1])
        for stream, run in self.dropout_runs[i]:
            members = run.members
            mask = space.masks[i][members]
            torch.lt(noise[stream], self._thresholds[i][members], out=mask)
            torch.mul(space.hidden[i][members], self._keep_scale[i][members], out=space.dropped[i][members])
            space.dropped[i][members].masked_fill_(mask, 0)

    # -- backward -----------------------------------------------------------------------------------------

    def backward(self, inputs: Sequence[Tensor], space: Workspace, *, dropout: bool) -> None:
        """Turn `space.output_delta` (the loss's gradient with respect to the outputs) into `gradients`."""
        below: Sequence[Tensor] = space.dropped if dropout else space.hidden
        for i, block in self._outputs:
            delta = space.output_delta[block.run.members]
            self._weight_gradient(i, block, delta, inputs, below)
            self._delta_below(i, block, delta, space)
        for i, block in reversed(list(enumerate(self._hidden))):
            delta = space.deltas[i]
            if dropout and self.dropout_runs[i]:
                self._drop_backward(i, space)
            for name, run in self._activation_runs[i]:
                ACTIVATIONS[name].backward(delta[run.members], space.hidden[i][run.members])
            self._weight_gradient(i, block, delta, inputs, below)
            self._delta_below(i, block, delta, space)

    def _delta_below(self, i: int, block: Block, delta: Tensor, space: Workspace) -> None:
        if block.layer > 0:
            below = space.deltas[block.layer - 1][block.run.members]
            torch.bmm(self.parameters.weights[i].transpose(1, 2), delta, out=below)

    def _weight_gradient(
        self, i: int, block: Block, delta: Tensor, inputs: Sequence[Tensor], hidden: Sequence[Tensor]
    ) -> None:
        weights, biases = self.gradients.weights[i], self.gradients.biases[i]
        torch.sum(delta, dim=2, keepdim=True, out=biases)
        if block.layer > 0:
            torch.bmm(delta, hidden[block.layer - 1][block.run.members].transpose(1, 2), out=weights)
            return
        for group, run in self._groups_in(block):
            torch.mm(delta[run.members].flatten(0, 1), inputs[group], out=weights[run.members].flatten(0, 1))

    def _drop_backward(self, i: int, space: Workspace) -> None:
        for _, run in self.dropout_runs[i]:
            delta = space.deltas[i][run.members]
            delta.mul_(self._keep_scale[i][run.members])
            delta.masked_fill_(space.masks[i][run.members], 0)

    # -- constants ----------------------------------------------------------------------------------------

    def _unit_mask(self, layer: int) -> Tensor:
        mask = torch.zeros(self.layout.active[layer], self.layout.widths[layer], 1, dtype=self.dtype)
        for i, slot in enumerate(self.layout.slots[: self.layout.active[layer]]):
            mask[i, : slot.hp.hidden[layer]] = 1
        return mask.to(self.device)

    def _find_activation_runs(self, layer: int) -> list[tuple[str, Run]]:
        return self.layout.runs(lambda s: s.hp.activation[layer], stop=self.layout.active[layer])

    def _find_dropout_runs(self, layer: int) -> list[tuple[int, Run]]:
        """Runs of members that share a stream and have dropout in a layer, with the stream's index."""
        index = {stream: i for i, stream in enumerate(self.streams)}
        runs = self.layout.runs(lambda s: (index[s.stream], s.hp.dropout[layer] > 0), stop=self.layout.active[layer])
        # one member's dropout makes the whole layer read the dropped copy, so runs without it are copied with rate 0
        return [(stream, run) for (stream, _), run in runs] if any(on for (_, on), _ in runs) else []

    def _dropout_numbers(self) -> tuple[list[Tensor], list[Tensor]]:
        scales, thresholds = [], []
        for layer in range(self.layout.depth):
            rates = [s.hp.dropout[layer] for s in self.layout.slots[: self.layout.active[layer]]]
            scale = torch.tensor([1 / (1 - r) for r in rates], dtype=self.dtype, device=self.device)
            limit = torch.tensor([threshold(r) for r in rates], dtype=torch.int32, device=self.device)
            scales.append(scale.view(-1, 1, 1))
            thresholds.append(limit.view(-1, 1, 1))
        return scales, thresholds
