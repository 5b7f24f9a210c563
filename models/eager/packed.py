"""The packed FNN: many small networks as one stacked network, with explicit forward and backward passes.

The order of axes is (member, unit, column); a column is one row of the batch. With units before columns the first
layer of all members that read the same data is one matrix product, softmax runs over whole vectors, and the
activations of a layer are one contiguous block for each member.

The backward pass is standard backpropagation: delta of a layer = (weights above)^T delta above, times the
activation's derivative; weight gradient = delta times the transposed activations below; bias gradient = sum of
delta over the batch. The tests compare it with autograd on `models.fnn.FNN`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from foldstep.models.catalog.activations import ACTIVATIONS as KNOWN
from foldstep.models.eager.activations import ACTIVATIONS
from foldstep.models.eager.dropout import LayerDropout
from foldstep.models.eager.normalization import Normalization
from foldstep.models.init import initial_weights
from foldstep.models.layout import Block, Layout, Run
from foldstep.models.stack import Layer, Stack, Weights


@dataclass(frozen=True)
class Batch:
    """The input of a training step.

    Attributes:
        inputs: for each data group, (columns, padded inputs).
        weights: (members, 1, columns): 1 / rows for a row of the batch, 0 for a column that fills it up.
        dropout: (1 + hidden layers, streams, 2, 1, 1) int32: noise keys of the inputs and of each hidden layer; None
            if no member drops units.
    """

    inputs: Sequence[Tensor]
    weights: Tensor
    dropout: Tensor | None


@dataclass
class Workspace:
    """Buffers for passes over a fixed number of columns.

    Attributes:
        hidden: for each hidden layer (members with it, padded width, columns): its activations after a pass.
        below: for each hidden layer, the input of the next layer: `hidden`, or a copy with dropped units.
        before: for each hidden layer its pre-activations, or None if no derivative needs them.
        outputs: (members, padded outputs, columns).
        deltas: for each hidden layer the gradients with respect to `hidden`, then to the pre-activations.
        output_delta: gradient with respect to the outputs, in their shape.
        dropped_inputs: by run of `Layout.input_runs`, the inputs after dropout, (members, padded inputs, columns).
        dropouts: for each hidden layer its dropout, or None if no member drops its units.
        input_dropouts: by run of `Layout.input_runs`, the dropout of the inputs.
    """

    hidden: list[Tensor]
    below: list[Tensor]
    before: list[Tensor | None]
    outputs: Tensor
    deltas: list[Tensor] = field(default_factory=list)
    output_delta: Tensor = field(default_factory=lambda: torch.empty(0))
    dropped_inputs: dict[Run, Tensor] = field(default_factory=dict)
    dropouts: list[LayerDropout | None] = field(default_factory=list)
    input_dropouts: dict[Run, LayerDropout] = field(default_factory=dict)


class PackedFNN:
    """The stacked networks of a layout.

    The i-th member computes what an `FNN` with its hyperparameters computes.

    Args:
        layout: the members.
        dtype: float32 for training; float64 in tests.
        device: device of the weights.
    """

    def __init__(self, layout: Layout, dtype: torch.dtype, device: torch.device) -> None:
        self.layout, self.dtype, self.device = layout, dtype, device
        self.parameters = Stack(layout, dtype, device, statistics=True)
        self.gradients = Stack(layout, dtype, device)
        self._hidden = [(i, b) for i, b in enumerate(layout.blocks) if not b.is_output]
        self._outputs = [(i, b) for i, b in enumerate(layout.blocks) if b.is_output]
        self._activation_runs = [self._runs_of_activation(i) for i in range(layout.depth)]
        self._units = [self._unit_mask(i) for i in range(layout.depth)]
        self._norms = [self._find_norms(i) for i in range(layout.depth)]
        self.streams = sorted({s.stream for s in layout.slots})
        self.drops = any(s.hp.input_dropout or any(s.hp.dropout) for s in layout.slots)

    # -- members ------------------------------------------------------------------------------------------

    def initialise(self) -> None:
        """Set the initial weights of every member; they depend only on its own hyperparameters and sizes."""
        for member in range(len(self.layout)):
            self.parameters.put(self.layout, member, self._initial(member))

    def _initial(self, member: int) -> Weights:
        slot = self.layout.slots[member]
        hp, sizes = slot.hp, slot.sizes(self.layout.n_outputs)
        layers: Weights = []
        for i, (fan_in, fan_out) in enumerate(pairwise(sizes)):
            weight = initial_weights(hp.init, hp.seed, i, fan_in, fan_out) * hp.init_gain
            layer: Layer = {"weight": weight, "bias": np.full(fan_out, hp.bias_init)}
            ones, zeros = np.ones(fan_out), np.zeros(fan_out)
            layers.append(layer | {"scale": ones, "shift": zeros, "running_mean": zeros, "running_var": ones})
        return layers

    # -- buffers ------------------------------------------------------------------------------------------

    def workspace(self, n_columns: int, *, training: bool) -> Workspace:
        """Allocate buffers for passes over `n_columns` columns."""
        layout = self.layout
        shapes = [(layout.active[i], layout.widths[i], n_columns) for i in range(layout.depth)]
        hidden = [self._empty(*shape) for shape in shapes]
        needs = [training and any(KNOWN[n].needs_input for n, _ in runs) for runs in self._activation_runs]
        space = Workspace(
            hidden=hidden,
            below=list(hidden),
            before=[self._empty(*shape) if need else None for shape, need in zip(shapes, needs, strict=True)],
            outputs=self._empty(len(layout), layout.n_outputs_padded, n_columns),
        )
        if training:
            space.deltas = [self._empty(*shape) for shape in shapes]
            space.output_delta = torch.zeros_like(space.outputs)
            self._add_dropout(space, n_columns)
        return space

    def _add_dropout(self, space: Workspace, n_columns: int) -> None:
        for i, hidden in enumerate(space.hidden):
            rates = [s.hp.dropout[i] for s in self.layout.slots[: self.layout.active[i]]]
            dropout = self._dropout(self.layout, rates, hidden.shape[1], n_columns) if any(rates) else None
            space.dropouts.append(dropout)
            if dropout is not None:
                space.below[i] = torch.empty_like(hidden)
        for (_, drops), run in self.layout.input_runs:
            if drops:
                members = Layout(self.layout.slots[run.members], self.layout.n_outputs)
                rates = [s.hp.input_dropout for s in members.slots]
                n_inputs = self.layout.n_inputs_padded
                space.input_dropouts[run] = self._dropout(members, rates, n_inputs, n_columns)
                space.dropped_inputs[run] = self._empty(run.length, n_inputs, n_columns)

    def _dropout(self, layout: Layout, rates: Sequence[float], n_units: int, n_columns: int) -> LayerDropout:
        return LayerDropout(layout, rates, n_units, n_columns, self.streams, self.dtype, self.device)

    def _empty(self, *shape: int) -> Tensor:
        return torch.empty(shape, dtype=self.dtype, device=self.device)

    # -- forward ------------------------------------------------------------------------------------------

    def evaluate(self, inputs: Sequence[Tensor], space: Workspace, weights: Stack | None = None) -> Tensor:
        """Compute the outputs of all members without dropout, with running statistics in batch normalisation.

        Args:
            inputs: for each data group, (columns, padded inputs).
            space: buffers for that many columns.
            weights: weights of the networks; the present parameters if None.

        Returns:
            `space.outputs`, (members, padded outputs, columns): logits or standardised predictions.
        """
        stack = weights or self.parameters
        for i, block in self._hidden:
            z = space.hidden[i]
            self._linear(i, block, stack, inputs, space.hidden, z)
            for norm in self._norms[i]:
                scale, shift = (stack.of(i, n)[norm.run.members] for n in ("scale", "shift"))
                norm.evaluate(z[norm.run.members], scale, shift, self._running(i, norm, stack))
            self._activate(i, z)
        for i, block in self._outputs:
            self._linear(i, block, stack, inputs, space.hidden, space.outputs[block.run.members])
        return space.outputs

    def forward(self, batch: Batch, space: Workspace) -> Tensor:
        """Compute the outputs of all members in training; `space` keeps the values that the backward pass needs.

        Returns:
            `space.outputs`, (members, padded outputs, columns).
        """
        if batch.dropout is not None:
            self._drop_inputs(batch, space)
        for i, block in self._hidden:
            z = space.hidden[i]
            self._linear(i, block, self.parameters, batch.inputs, space.below, z, space.dropped_inputs)
            self._normalise(i, z, batch.weights)
            before = space.before[i]
            if before is not None:
                before.copy_(z)
            self._activate(i, z)
            dropout = space.dropouts[i]
            if dropout is not None and batch.dropout is not None:
                dropout.forward(z, batch.dropout[i + 1], space.below[i])
        for i, block in self._outputs:
            out = space.outputs[block.run.members]
            self._linear(i, block, self.parameters, batch.inputs, space.below, out, space.dropped_inputs)
        return space.outputs

    def _drop_inputs(self, batch: Batch, space: Workspace) -> None:
        assert batch.dropout is not None
        for (group, drops), run in self.layout.input_runs:
            if drops:
                x = batch.inputs[group].t().expand(run.length, -1, -1)
                space.input_dropouts[run].forward(x, batch.dropout[0], space.dropped_inputs[run])

    def _linear(
        self,
        i: int,
        block: Block,
        stack: Stack,
        inputs: Sequence[Tensor],
        below: Sequence[Tensor],
        out: Tensor,
        dropped: dict[Run, Tensor] | None = None,
    ) -> None:
        weights, biases = stack.of(i, "weight"), stack.of(i, "bias")
        if block.layer > 0:
            torch.baddbmm(biases, weights, below[block.layer - 1][block.run.members], out=out)
            return
        for group, run, whole in self._inputs_of(block):
            rows = run.members
            if dropped and whole in dropped:
                x = dropped[whole][self._within(block, run, whole)]
                torch.baddbmm(biases[rows], weights[rows], x, out=out[rows])
                continue
            bias, weight = biases[rows].flatten(0, 1), weights[rows].flatten(0, 1)
            torch.addmm(bias, weight, inputs[group].t(), out=out[rows].flatten(0, 1))

    def _inputs_of(self, block: Block) -> list[tuple[int, Run, Run]]:
        """List for a first-layer block: data group, run relative to the block's first member, run of `input_runs`."""
        first, last = block.run.start, block.run.stop
        cut = [(g, max(r.start, first), min(r.stop, last), r) for (g, _), r in self.layout.input_runs]
        return [(g, Run(a - first, b - first), r) for g, a, b, r in cut if a < b]

    @staticmethod
    def _within(block: Block, run: Run, whole: Run) -> slice:
        start = block.run.start + run.start - whole.start
        return slice(start, start + run.length)

    def _normalise(self, i: int, z: Tensor, weights: Tensor) -> None:
        for norm in self._norms[i]:
            rows = norm.run.members
            scale, shift = (self.parameters.of(i, n)[rows] for n in ("scale", "shift"))
            norm.train(z[rows], weights[rows], scale, shift, self._running(i, norm, self.parameters))

    @staticmethod
    def _running(i: int, norm: Normalization, stack: Stack) -> tuple[Tensor, Tensor] | None:
        if not norm.over_rows:
            return None
        rows = norm.run.members
        return stack.of(i, "running_mean")[rows], stack.of(i, "running_var")[rows]

    def _activate(self, i: int, z: Tensor) -> None:
        for name, run in self._activation_runs[i]:
            ACTIVATIONS[name].forward(z[run.members])
            if not KNOWN[name].zero_at_zero:
                z[run.members].mul_(self._units[i][run.members])

    # -- backward -----------------------------------------------------------------------------------------

    def backward(self, batch: Batch, space: Workspace) -> None:
        """Compute `gradients` from `space.output_delta`, the gradient of the loss with respect to the outputs."""
        for i, block in self._outputs:
            delta = space.output_delta[block.run.members]
            self._weight_gradient(i, block, delta, batch, space)
            self._delta_below(i, block, delta, space)
        for i, block in reversed(self._hidden):
            delta = space.deltas[i]
            dropout = space.dropouts[i]
            if dropout is not None:
                dropout.backward(delta)
            self._activate_backward(i, delta, space)
            self._normalise_backward(i, delta, batch.weights)
            self._weight_gradient(i, block, delta, batch, space)
            self._delta_below(i, block, delta, space)
            for norm in self._norms[i]:
                if norm.over_rows:  # has no bias, see `models.stack.is_own`
                    self.gradients.of(i, "bias")[norm.run.members].zero_()

    def _activate_backward(self, i: int, delta: Tensor, space: Workspace) -> None:
        for name, run in self._activation_runs[i]:
            before = space.before[i]
            at = before if KNOWN[name].needs_input and before is not None else space.hidden[i]
            ACTIVATIONS[name].backward(delta[run.members], at[run.members])

    def _normalise_backward(self, i: int, delta: Tensor, weights: Tensor) -> None:
        for norm in self._norms[i]:
            rows = norm.run.members
            scale = self.parameters.of(i, "scale")[rows]
            gradients = [self.gradients.of(i, n)[rows] for n in ("scale", "shift")]
            norm.backward(delta[rows], weights[rows], scale, *gradients)

    def _delta_below(self, i: int, block: Block, delta: Tensor, space: Workspace) -> None:
        if block.layer > 0:
            below = space.deltas[block.layer - 1][block.run.members]
            torch.bmm(self.parameters.of(i, "weight").transpose(1, 2), delta, out=below)

    def _weight_gradient(self, i: int, block: Block, delta: Tensor, batch: Batch, space: Workspace) -> None:
        weights, biases = self.gradients.of(i, "weight"), self.gradients.of(i, "bias")
        torch.sum(delta, dim=2, keepdim=True, out=biases)
        if block.layer > 0:
            torch.bmm(delta, space.below[block.layer - 1][block.run.members].transpose(1, 2), out=weights)
            return
        for group, run, whole in self._inputs_of(block):
            rows = run.members
            if whole in space.dropped_inputs:
                x = space.dropped_inputs[whole][self._within(block, run, whole)]
                torch.bmm(delta[rows], x.transpose(1, 2), out=weights[rows])
                continue
            torch.mm(delta[rows].flatten(0, 1), batch.inputs[group], out=weights[rows].flatten(0, 1))

    # -- constants ----------------------------------------------------------------------------------------

    def _unit_mask(self, layer: int) -> Tensor:
        mask = torch.zeros(self.layout.active[layer], self.layout.widths[layer], 1, dtype=self.dtype)
        for i, slot in enumerate(self.layout.slots[: self.layout.active[layer]]):
            mask[i, : slot.hp.hidden[layer]] = 1
        return mask.to(self.device)

    def _runs_of_activation(self, layer: int) -> list[tuple[str, Run]]:
        return self.layout.runs(lambda s: s.hp.activation[layer], stop=self.layout.active[layer])

    def _find_norms(self, layer: int) -> list[Normalization]:
        runs = self.layout.runs(lambda s: s.hp.norm, stop=self.layout.active[layer])
        return [Normalization(kind, run, self._units[layer]) for kind, run in runs if kind != "none"]
