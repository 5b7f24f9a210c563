"""The packed FNN: many small networks as one stacked network, with explicit forward and backward passes.

The order of axes is (member, unit, column); a column is one row of the batch. With units before columns the first
layer of all members that read the same data is one matrix product, softmax runs over whole vectors, and the
activations of a layer are one contiguous block for each member.

The backward pass is standard backpropagation: delta of a layer = (weights above)^T delta above, times the
activation's derivative; weight gradient = delta times the transposed activations below; bias gradient = sum of
delta over the batch. The tests compare it with autograd on `tests.models.fnn.FNN`. The products are in
`models.eager.products`, what is done to them in `models.eager.hidden`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor

from foldstep.models.eager.dropout import LayerDropout
from foldstep.models.eager.hidden import HiddenLayer
from foldstep.models.eager.input_stage import RunStages
from foldstep.models.eager.products import LinearMap
from foldstep.models.eager.workspace import Batch, Workspace
from foldstep.models.layout import Layout, Slot
from foldstep.models.stack import Stack
from foldstep.models.start import starting_layers
from foldstep.models.weights import Weights


class PackedFNN:
    """The stacked networks of a layout.

    The i-th member computes what an `FNN` with its hyperparameters computes.

    Attributes:
        initial: the initial weights of members that decay towards them, zero for others; None if no member does.

    Args:
        layout: the members.
        dtype: float32 for training; float64 in tests.
        device: device of the weights.
    """

    def __init__(self, layout: Layout, dtype: torch.dtype, device: torch.device) -> None:
        self.layout, self.dtype, self.device = layout, dtype, device
        self.parameters = Stack(layout, dtype, device, statistics=True)
        self.gradients = Stack(layout, dtype, device)
        self._hidden = [HiddenLayer(layout, i, dtype, device) for i in range(layout.depth)]
        self._maps = [LinearMap(layout, i, dtype, device) for i in range(layout.depth)]
        outputs = [(i, b.run.members) for i, b in enumerate(layout.blocks) if b.is_output]
        self._outputs = [(LinearMap(layout, i, dtype, device), members) for i, members in outputs]
        stages = [(i, b.stage, b.run) for i, b in enumerate(layout.blocks) if b.stage is not None]
        self._stages = {run: RunStages(stage, run, i, dtype, device) for i, stage, run in stages}
        self.streams = sorted({s.stream for s in layout.slots})
        self.initial = None if all(s.hp.decay_towards == "zero" for s in layout.slots) else Stack(layout, dtype, device)
        self.drops = any(s.hp.input_dropout or any(s.hp.dropout) for s in layout.slots)

    # -- members ------------------------------------------------------------------------------------------

    def initialise(self, rows: Sequence[np.ndarray] | None = None) -> None:
        """Set the initial weights of every member; they depend only on its own hyperparameters, sizes and data.

        Args:
            rows: for each data group the training rows, (rows, inputs); None if no start is fitted to them.
        """
        for member, slot in enumerate(self.layout.slots):
            start = self._initial(slot, None if rows is None else rows[slot.group])
            self.parameters.put(self.layout, member, start)
            if self.initial is not None and slot.hp.decay_towards == "init":
                self.initial.put(self.layout, member, start)

    def _initial(self, slot: Slot, rows: np.ndarray | None) -> Weights:
        layers: Weights = []
        for layer in starting_layers(slot.hp, slot.sizes(self.layout.n_outputs), rows, slot.stage):
            ones, zeros = np.ones(len(layer["bias"])), np.zeros(len(layer["bias"]))
            norm = {"scale": ones, "shift": zeros, "running_mean": zeros, "running_var": ones}
            layers.append(layer | norm | {"share": ones})
        if slot.stage is not None:
            layers[0] |= slot.stage.initial(slot.hp.seed)
        return layers

    # -- buffers ------------------------------------------------------------------------------------------

    def workspace(self, n_columns: int, *, training: bool) -> Workspace:
        """Allocate buffers for passes over `n_columns` columns."""
        layout = self.layout
        shapes = [(layout.active[i], layout.widths[i], n_columns) for i in range(layout.depth)]
        hidden = [self._empty(*shape) for shape in shapes]

        def where(needs: Iterable[bool]) -> list[Tensor | None]:
            return [self._empty(*shape) if need else None for shape, need in zip(shapes, needs, strict=True)]

        space = Workspace(
            hidden=hidden,
            below=[torch.empty_like(h) if layer.skips else h for h, layer in zip(hidden, self._hidden, strict=True)],
            before=where(training and layer.needs_before for layer in self._hidden),
            seconds=where(bool(layer.pairs) for layer in self._hidden),
            firsts=where(training and bool(layer.pairs) for layer in self._hidden),
            outputs=self._empty(len(layout), layout.n_outputs_padded, n_columns),
        )
        space.stages = {run: stages.space(n_columns) for run, stages in self._stages.items()}
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
        for (_, drops, _), run in self.layout.input_runs:
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
        self._embed(inputs, space, stack)
        for z, linear, layer in zip(space.hidden, self._maps, self._hidden, strict=True):
            linear.forward(stack, inputs, space, z)
            layer.evaluate(z, stack, inputs, space)
            layer.skip(z, space)
        self._output(inputs, space, stack)
        return space.outputs

    def forward(self, batch: Batch, space: Workspace) -> Tensor:
        """Compute the outputs of all members in training; `space` keeps the values that the backward pass needs.

        Returns:
            `space.outputs`, (members, padded outputs, columns).
        """
        if batch.dropout is not None:
            self._drop_inputs(batch, space)
        self._embed(batch.inputs, space, self.parameters)
        for i, (z, linear, layer) in enumerate(zip(space.hidden, self._maps, self._hidden, strict=True)):
            linear.forward(self.parameters, batch.inputs, space, z)
            layer.forward(z, batch, self.parameters, space)
            layer.skip(self._drop(i, z, batch, space), space)
        self._output(batch.inputs, space, self.parameters)
        return space.outputs

    def _drop(self, i: int, activations: Tensor, batch: Batch, space: Workspace) -> Tensor:
        """Apply dropout to the activations of a hidden layer; return what the next layer reads of them."""
        dropout = space.dropouts[i]
        if dropout is None or batch.dropout is None:
            return activations
        if batch.drops is not None:
            dropout.follow(batch.drops[: self.layout.active[i]])
        dropout.forward(activations, batch.dropout[i + 1], space.below[i])
        return space.below[i]

    def _output(self, inputs: Sequence[Tensor], space: Workspace, stack: Stack) -> None:
        for linear, members in self._outputs:
            linear.forward(stack, inputs, space, space.outputs[members])

    def _drop_inputs(self, batch: Batch, space: Workspace) -> None:
        assert batch.dropout is not None
        for (group, drops, _), run in self.layout.input_runs:
            if drops:
                x = batch.inputs[group].t().expand(run.length, -1, -1)
                if batch.drops is not None:
                    space.input_dropouts[run].follow(batch.drops[run.members])
                space.input_dropouts[run].forward(x, batch.dropout[0], space.dropped_inputs[run])

    def _embed(self, inputs: Sequence[Tensor], space: Workspace, stack: Stack) -> None:
        for (group, _, stage), run in self.layout.input_runs:
            if stage is not None:
                whole = inputs[group].t()
                x = space.dropped_inputs.get(run, whole.unsqueeze(0))
                self._stages[run].forward(x, whole, stack, space.stages[run])

    # -- backward -----------------------------------------------------------------------------------------

    def backward(self, batch: Batch, space: Workspace) -> None:
        """Compute `gradients` from `space.output_delta`, the gradient of the loss with respect to the outputs."""
        stacks = self.parameters, self.gradients
        for linear, members in self._outputs:
            linear.backward(space.output_delta[members], batch.inputs, space, *stacks)
        for i, (linear, layer) in reversed(list(enumerate(zip(self._maps, self._hidden, strict=True)))):
            delta = space.deltas[i]
            passed = layer.passed(delta)
            dropout = space.dropouts[i]
            if dropout is not None:
                dropout.backward(delta)
            layer.backward(delta, batch.weights, *stacks, space)
            linear.backward(delta, batch.inputs, space, *stacks)
            for pairs in layer.pairs:
                pairs.multiply_backward(batch.inputs, space, *stacks)
            layer.skip_backward(passed, space)
            layer.drop_biases(self.gradients)
        for run, stages in self._stages.items():
            stages.backward(*stacks, space.stages[run])
