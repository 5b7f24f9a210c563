"""The linear maps of a pack's layers: products of stacked matrices, forward and backward.

Where the members of a run read the same inputs, their first layers are one matrix product; where each reads inputs of
its own (after dropout or an input stage), and in all further layers, they are a batch of products.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from foldstep.models.catalog.parts import LINEAR
from foldstep.models.eager.runs import gains_of
from foldstep.models.eager.workspace import Workspace
from foldstep.models.layout import Layout, Run
from foldstep.models.stack import Stack


class LinearMap:
    """A linear map of one block of a layout, for the members that have it.

    Args:
        layout: the members.
        index: index of the block in the layout.
        dtype: type of the numbers.
        device: device of the numbers.
        names: the parts with its weights and its biases.
        run: the members that have it; None for all of the block.
        adds: whether `backward` adds to the gradient with respect to what the layer reads, beside another map.
    """

    def __init__(
        self, layout: Layout, index: int, dtype: torch.dtype, device: torch.device,
        names: tuple[str, str] = LINEAR, run: Run | None = None, *, adds: bool = False,
    ) -> None:  # fmt: skip
        block = layout.blocks[index]
        self._index, self._layer, self._names, self._adds = index, block.layer, names, adds
        self._run = run or block.run
        self._rows = slice(self._run.start - block.run.start, self._run.stop - block.run.start)
        gains = gains_of(layout, block, dtype, device)
        self._gains = None if gains is None else gains[self._rows]
        self._inputs = _inputs_of(layout, self._run) if self._layer == 0 else []

    def forward(self, stack: Stack, inputs: Sequence[Tensor], space: Workspace, out: Tensor) -> None:
        """Compute the products of weights and inputs plus biases.

        Args:
            stack: the parameters.
            inputs: for each data group, (columns, padded inputs).
            space: the buffers, with what the layer reads.
            out: (members, units, columns), receives the result.
        """
        weights, biases = self._weights(stack), self._part(stack, 1)
        if self._layer > 0:
            torch.baddbmm(biases, weights, space.below[self._layer - 1][self._run.members], out=out)
            return
        for group, run, whole in self._inputs:
            rows, given = run.members, space.given(whole)
            if given is not None:
                x = given[self._within(run, whole)]
                torch.baddbmm(biases[rows], weights[rows, :, : x.shape[1]], x, out=out[rows])
                continue
            x = inputs[group].t()
            bias, weight = biases[rows].flatten(0, 1), weights[rows, :, : len(x)].flatten(0, 1)
            torch.addmm(bias, weight, x, out=out[rows].flatten(0, 1))

    def backward(
        self, delta: Tensor, inputs: Sequence[Tensor], space: Workspace, parameters: Stack, gradients: Stack
    ) -> None:
        """Compute the gradients of weights and biases, and those with respect to what the layer reads.

        Args:
            delta: (members, units, columns): the gradient with respect to the result of `forward`.
            inputs: as in `forward`.
            space: the buffers of that pass; its deltas of the layer below receive the gradient.
            parameters: the parameters.
            gradients: receives the gradients.
        """
        self._sum_products(delta, inputs, space, gradients)
        if self._gains is not None:
            self._part(gradients, 0).mul_(self._gains)
        self._delta_below(delta, space, parameters)

    def _part(self, stack: Stack, which: int) -> Tensor:
        return stack.of(self._index, self._names[which])[self._rows]

    def _weights(self, stack: Stack) -> Tensor:
        """Compute the weights as the passes use them: times the members' gains."""
        weights = self._part(stack, 0)
        return weights if self._gains is None else weights * self._gains

    def _within(self, run: Run, whole: Run) -> slice:
        start = self._run.start + run.start - whole.start
        return slice(start, start + run.length)

    def _delta_below(self, delta: Tensor, space: Workspace, parameters: Stack) -> None:
        if self._layer > 0:
            below = space.deltas[self._layer - 1][self._run.members]
            self._multiply_back(self._weights(parameters), delta, below)
            return
        for _, run, whole in self._inputs:
            if whole in space.stages:
                below = space.stages[whole].delta[self._within(run, whole)]
                weights = self._weights(parameters)[run.members, :, : below.shape[1]]
                self._multiply_back(weights, delta[run.members], below)

    def _multiply_back(self, weights: Tensor, delta: Tensor, below: Tensor) -> None:
        if self._adds:
            below.add_(torch.bmm(weights.transpose(1, 2), delta))
        else:
            torch.bmm(weights.transpose(1, 2), delta, out=below)

    def _sum_products(self, delta: Tensor, inputs: Sequence[Tensor], space: Workspace, gradients: Stack) -> None:
        weights, biases = self._part(gradients, 0), self._part(gradients, 1)
        torch.sum(delta, dim=2, keepdim=True, out=biases)
        if self._layer > 0:
            torch.bmm(delta, space.below[self._layer - 1][self._run.members].transpose(1, 2), out=weights)
            return
        for group, run, whole in self._inputs:
            rows, given = run.members, space.given(whole)
            if given is not None:
                x = given[self._within(run, whole)]
                torch.bmm(delta[rows], x.transpose(1, 2), out=weights[rows, :, : x.shape[1]])
                continue
            x = inputs[group]
            torch.mm(delta[rows].flatten(0, 1), x, out=weights[rows, :, : x.shape[1]].flatten(0, 1))


def _inputs_of(layout: Layout, of: Run) -> list[tuple[int, Run, Run]]:
    """List for members' first layer: data group, run relative to the first of them, run of `input_runs`."""
    first, last = of.start, of.stop
    cut = [(g, max(r.start, first), min(r.stop, last), r) for (g, *_), r in layout.input_runs]
    return [(g, Run(a - first, b - first), r) for g, a, b, r in cut if a < b]
