"""What a hidden layer of a pack makes of its linear map: normalisation, activation, units, skip; both directions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from foldstep.models.catalog.activations import ACTIVATIONS as KNOWN
from foldstep.models.eager import trained
from foldstep.models.eager.activations import ACTIVATIONS
from foldstep.models.eager.normalization import Normalization
from foldstep.models.eager.pairs import pairs_of
from foldstep.models.eager.runs import activation_runs, normalizations, skip_runs, unit_mask
from foldstep.models.eager.workspace import Batch, Workspace
from foldstep.models.layout import Layout, Run
from foldstep.models.stack import Stack


class HiddenLayer:
    """One hidden layer of a layout, for all members that have it; its linear map is a `LinearMap`.

    Attributes:
        needs_before: whether a backward pass needs the pre-activations.
        skips: the runs of members that add the layer's input to its output.
        pairs: the runs of members whose units have a second linear map.

    Args:
        layout: the members.
        layer: 0 for the first.
        dtype: type of the numbers.
        device: device of the numbers.
    """

    def __init__(self, layout: Layout, layer: int, dtype: torch.dtype, device: torch.device) -> None:
        self._layer = layer
        self._runs = activation_runs(layout, layer)
        self._units = unit_mask(layout, layer, dtype).to(device)
        self._norms = normalizations(layout, layer, self._units)
        self.skips = skip_runs(layout, layer)
        self.pairs = pairs_of(layout, layer, dtype, device)
        self.needs_before = any(KNOWN[r.name].needs_input or r.is_trained for r in self._runs)

    def evaluate(self, z: Tensor, stack: Stack, inputs: Sequence[Tensor], space: Workspace) -> None:
        """Turn pre-activations, (members, units, columns), into activations, with running statistics, in place.

        Arguments as for `LinearMap.forward`.
        """
        self._begin(z, stack, inputs, space)
        for norm in self._norms:
            scale, shift = (stack.of(self._layer, n)[norm.run.members] for n in ("scale", "shift"))
            norm.evaluate(z[norm.run.members], scale, shift, self._running(norm, stack))
        self._activate(z, stack)
        self._join(z, space, are_gated=True)

    def forward(self, z: Tensor, batch: Batch, stack: Stack, space: Workspace) -> None:
        """Turn pre-activations, (members, units, columns), into activations, in place, in training.

        Args:
            z: the pre-activations.
            batch: the input of the step.
            stack: the parameters; running statistics are updated.
            space: keeps what the backward pass needs.
        """
        self._begin(z, stack, batch.inputs, space)
        for norm in self._norms:
            rows = norm.run.members
            scale, shift = (stack.of(self._layer, n)[rows] for n in ("scale", "shift"))
            norm.train(z[rows], batch.weights[rows], scale, shift, self._running(norm, stack))
        before = space.before[self._layer]
        if before is not None:
            before.copy_(z)
        self._activate(z, stack)
        self._join(z, space, are_gated=True)

    def backward(self, delta: Tensor, weights: Tensor, parameters: Stack, gradients: Stack, space: Workspace) -> None:
        """Turn the gradient with respect to the activations into that with respect to the linear map, in place.

        Args:
            delta: (members, units, columns).
            weights: (members, 1, columns) of `Batch`.
            parameters: the parameters.
            gradients: receives the gradients of scales, shifts and shares.
            space: the buffers of `forward`.
        """
        self._part(delta, space, are_gated=True)
        self._activate_backward(delta, parameters, gradients, space)
        for norm in self._norms:
            rows = norm.run.members
            scale = parameters.of(self._layer, "scale")[rows]
            of_norm = [gradients.of(self._layer, n)[rows] for n in ("scale", "shift")]
            norm.backward(delta[rows], weights[rows], scale, *of_norm)
        self._part(delta, space, are_gated=False)

    def _begin(self, z: Tensor, stack: Stack, inputs: Sequence[Tensor], space: Workspace) -> None:
        for pairs in self.pairs:
            pairs.multiply(stack, inputs, space)
        self._join(z, space, are_gated=False)

    def _join(self, values: Tensor, space: Workspace, *, are_gated: bool) -> None:
        for pairs in self.pairs:
            if pairs.is_gated == are_gated:
                pairs.join(values, space)

    def _part(self, delta: Tensor, space: Workspace, *, are_gated: bool) -> None:
        for pairs in self.pairs:
            if pairs.is_gated == are_gated:
                pairs.part(delta, space)

    def skip(self, output: Tensor, space: Workspace) -> None:
        """Make the input of the next layer from the layer's output: with the layer's own input, where members skip."""
        below = space.below[self._layer]
        if below is not output:
            below.copy_(output)
        for run in self.skips:
            _add(space.below[self._layer - 1][run.members], below[run.members])

    def passed(self, delta: Tensor) -> list[tuple[Run, Tensor]]:
        """Copy what goes past the layer of the gradient with respect to its output, by run of members that skip."""
        return [(run, delta[run.members].clone()) for run in self.skips]

    def skip_backward(self, passed: list[tuple[Run, Tensor]], space: Workspace) -> None:
        """Add what went past the layer to the gradient with respect to its input."""
        for run, by in passed:
            _add(by, space.deltas[self._layer - 1][run.members])

    def drop_biases(self, gradients: Stack) -> None:
        """Set the gradients of biases that members do not have to 0: see `models.stack.is_own`."""
        for norm in self._norms:
            if norm.over_rows:
                gradients.of(self._layer, "bias")[norm.run.members].zero_()

    def _running(self, norm: Normalization, stack: Stack) -> tuple[Tensor, Tensor] | None:
        if not norm.over_rows:
            return None
        rows = norm.run.members
        return stack.of(self._layer, "running_mean")[rows], stack.of(self._layer, "running_var")[rows]

    def _activate(self, z: Tensor, stack: Stack) -> None:
        for name, is_trained, _, run in self._runs:
            if is_trained:
                trained.activate(name, z[run.members], stack.of(self._layer, "share")[run.members])
                continue
            ACTIVATIONS[name].forward(z[run.members])
            if not KNOWN[name].zero_at_zero:
                z[run.members].mul_(self._units[run.members])

    def _activate_backward(self, delta: Tensor, parameters: Stack, gradients: Stack, space: Workspace) -> None:
        before, firsts = space.before[self._layer], space.firsts[self._layer]
        for name, is_trained, is_joined, run in self._runs:
            if is_trained and before is not None:
                share, gradient = (s.of(self._layer, "share")[run.members] for s in (parameters, gradients))
                trained.activate_backward(name, delta[run.members], before[run.members], share, gradient)
                continue
            after = firsts if is_joined and firsts is not None else space.hidden[self._layer]
            at = before if KNOWN[name].needs_input and before is not None else after
            ACTIVATIONS[name].backward(delta[run.members], at[run.members])


def _add(values: Tensor, to: Tensor) -> None:
    """Add the units of one layer to those of another of the same width, whose padding may differ."""
    n = min(values.shape[1], to.shape[1])
    to[:, :n].add_(values[:, :n])
