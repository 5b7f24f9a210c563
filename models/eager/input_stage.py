"""The input stages of the members of a run: forward and backward, operation by operation.

All members of a run have an equal stage, so nothing is padded to another member's sizes. Features are filled up to a
multiple of 16, the filling is 0.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from foldstep.models.input_stage import InputStage
from foldstep.models.layout import Run, padded
from foldstep.models.stack import Stack


@dataclass
class StageSpace:
    """Buffers for the passes of a run's stages, and what a forward pass keeps for the backward pass.

    Attributes:
        out: what the first layer reads, (members, padded units, columns).
        delta: the gradient with respect to `out`.
        before: `out` before its trained factors, if there are any.
        numbers: the embedded inputs, (members or 1, embedded, 1, columns).
        one_hot: for each column of codes, which one it is, (codes, columns).
        flags: where values are missing, (members or 1, pairs, columns).
        sine: of the frequencies' arguments, (members, embedded, padded frequencies, columns).
        features: (members, embedded, padded features, columns).
        linear: the results of the linear maps, (members, embedded, values, columns).
    """

    out: Tensor
    delta: Tensor
    before: Tensor
    numbers: Tensor
    one_hot: list[Tensor]
    flags: Tensor
    sine: Tensor
    features: Tensor
    linear: Tensor


class RunStages:
    """The input stages of the members of a run.

    Args:
        stage: the stage of each of them.
        run: the members.
        block: index of the layout's block with their numbers.
        dtype: type of the numbers.
        device: device of the numbers.
    """

    def __init__(self, stage: InputStage, run: Run, block: int, dtype: torch.dtype, device: torch.device) -> None:
        self.stage, self.run, self._block, self._dtype, self._device = stage, run, block, dtype, device
        self._embedded, self._kept = self._index(stage.embedded), self._index(stage.kept)
        self._flag_at = self._index([flag for flag, _ in stage.missing])
        self._value_at = self._index([value for _, value in stage.missing])
        self._n, self._end = len(stage.embedded), len(stage.embedded) * stage.size

    def _index(self, at: object) -> Tensor:
        return torch.tensor(at, dtype=torch.int64, device=self._device)

    def space(self, n_columns: int) -> StageSpace:
        """Allocate buffers for passes over `n_columns` columns."""
        shape = (self.run.length, padded(self.stage.n_units), n_columns)
        out, delta = (torch.zeros(shape, dtype=self._dtype, device=self._device) for _ in range(2))
        n_features = padded(self.stage.n_features)
        features = torch.zeros(self.run.length, self._n, n_features, n_columns, dtype=self._dtype, device=self._device)
        nothing = torch.empty(0)
        return StageSpace(out, delta, out, nothing, [], nothing, nothing, features, nothing)

    # -- forward ------------------------------------------------------------------------------------------

    def forward(self, x: Tensor, whole: Tensor, stack: Stack, space: StageSpace) -> None:
        """Compute `space.out`.

        Args:
            x: the inputs, (members or 1, padded inputs, columns).
            whole: the inputs without dropout, (padded inputs, columns); codes are not dropped.
            stack: the numbers of the stages.
            space: keeps what the backward pass needs.
        """
        stage = self.stage
        if stage.missing:
            x = self._fill(x, stack, space)
        if self._n:
            space.numbers = x.index_select(1, self._embedded).unsqueeze(2)
            self._features(stack, space)
            self._linear(stack, space)
            embedded = torch.unflatten(space.out[:, : self._end], 1, (self._n, stage.size))
            embedded[:, :, : stage.n_linear] = space.linear
            if stage.kind == "pbld":
                embedded[:, :, stage.n_linear :] = space.numbers
        self._categories(whole, stack, space)
        space.out[:, stage.kept_from : stage.n_units] = x.index_select(1, self._kept)
        if stage.is_scaled:
            space.before = space.out.clone()
            space.out.mul_(stack.of(self._block, "input_scale"))

    def _categories(self, whole: Tensor, stack: Stack, space: StageSpace) -> None:
        space.one_hot = []
        for (at, n_codes, _), table, units in self._tables(stack, space.out):
            codes = whole[at].to(torch.int64)
            space.one_hot.append(torch.zeros(n_codes, len(codes), dtype=self._dtype, device=self._device))
            space.one_hot[-1].scatter_(0, codes.unsqueeze(0), 1)
            units.copy_(table.index_select(1, codes).transpose(1, 2))

    def _tables(self, stack: Stack, values: Tensor) -> Iterator[tuple[tuple[int, int, int], Tensor, Tensor]]:
        """List for each column of codes: its sizes, its table (members, codes, width), and its part of the values."""
        first, unit = 0, self._end
        for code in self.stage.codes:
            _, n_codes, width = code
            numbers = stack.of(self._block, "category")[:, first : first + n_codes * width, 0]
            yield code, torch.unflatten(numbers, 1, (n_codes, width)), values[:, unit : unit + width]
            first, unit = first + n_codes * width, unit + width

    def _fill(self, x: Tensor, stack: Stack, space: StageSpace) -> Tensor:
        """Add the trained value to each number that is missing, whose input is the median."""
        space.flags = x.index_select(1, self._flag_at)
        filled = x.repeat(self.run.length, 1, 1) if len(x) == 1 else x.clone()
        trained = stack.of(self._block, "missing")[:, : len(self._flag_at)]
        filled[:, self._value_at] += space.flags * trained
        return filled

    def _features(self, stack: Stack, space: StageSpace) -> None:
        if self.stage.kind == "piecewise":
            shares = self._shares(stack, space.numbers)
            last = self._last_of(shares, stack)
            shares = torch.where(last, shares, shares.clamp(max=1))  # the last bin goes on beyond its end
            space.features[:, :, : self.stage.bins] = shares
            space.features[:, :, self.stage.bins] = space.numbers[:, :, 0]
            return
        k = self.stage.frequencies
        argument = 2 * math.pi * stack.of(self._block, "frequency").unsqueeze(3) * space.numbers
        if self.stage.kind == "pbld":
            argument = argument + stack.of(self._block, "phase").unsqueeze(3)
        cosine, space.sine = argument.cos(), argument.sin()
        space.features[:, :, :k] = cosine[:, :, :k]
        if self.stage.kind != "pbld":
            space.features[:, :, k : 2 * k] = space.sine[:, :, :k]

    def _shares(self, stack: Stack, numbers: Tensor) -> Tensor:
        """Compute how far the numbers are within each bin, 0 at its left edge, (members, embedded, bins, columns).

        At least 0 except in the first bin, which goes on before its begin.
        """
        left, inverse = (stack.of(self._block, n)[:, :, : self.stage.bins, None] for n in ("edge", "inverse_width"))
        shares = (numbers - left) * inverse
        shares[:, :, 1:].clamp_(min=0)
        return shares

    def _last_of(self, shares: Tensor, stack: Stack) -> Tensor:
        """Tell which bins are the last of their column, (members, embedded, bins, 1)."""
        exists = stack.of(self._block, "inverse_width")[:, :, : shares.shape[2], None] > 0
        follows = torch.zeros_like(exists)
        follows[:, :, :-1] = exists[:, :, 1:]
        return exists & ~follows

    def _maps(self, stack: Stack, name: str) -> Tensor:
        """View linear maps or their biases as (members, maps, values, padded features or 1)."""
        values = stack.of(self._block, name)[:, : self.stage.n_maps * self.stage.n_linear]
        return torch.unflatten(values, 1, (self.stage.n_maps, self.stage.n_linear))

    def _linear(self, stack: Stack, space: StageSpace) -> None:
        weights, biases = (self._per_column(self._maps(stack, name)) for name in ("linear", "linear_bias"))
        shape = (self.run.length, self._n)
        space.linear = torch.unflatten(torch.baddbmm(biases, weights, space.features.flatten(0, 1)), 0, shape)
        if self.stage.kind == "plr":
            space.linear.clamp_(min=0)

    def _per_column(self, maps: Tensor) -> Tensor:
        """Repeat a shared map for every column, (members * embedded, values, features)."""
        return maps.expand(-1, self._n, -1, -1).reshape(-1, *maps.shape[2:])

    # -- backward -----------------------------------------------------------------------------------------

    def backward(self, parameters: Stack, gradients: Stack, space: StageSpace) -> None:
        """Compute the gradients of the stages' numbers from `space.delta`, which is changed."""
        stage, delta = self.stage, space.delta
        if stage.is_scaled:
            of_scale = gradients.of(self._block, "input_scale")
            torch.sum(delta * space.before, dim=2, keepdim=True, out=of_scale)
            delta.mul_(parameters.of(self._block, "input_scale"))
        for (_, table, of_units), one_hot in zip(self._tables(gradients, delta), space.one_hot, strict=True):
            table.copy_(torch.bmm(one_hot.expand(self.run.length, -1, -1), of_units.transpose(1, 2)))
        back = torch.zeros(0)
        if self._n:
            embedded = torch.unflatten(delta[:, : self._end], 1, (self._n, stage.size))
            of_linear = embedded[:, :, : stage.n_linear]
            if stage.kind == "plr":
                of_linear = of_linear * (space.linear > 0)
            of_features = self._linear_backward(parameters, gradients, of_linear.flatten(0, 1), space)
            back = self._features_backward(parameters, gradients, of_features, space)
            if stage.kind == "pbld":
                back = back + embedded[:, :, stage.n_linear]
        if stage.missing:
            self._fill_backward(gradients, back, space)

    def _linear_backward(self, parameters: Stack, gradients: Stack, delta: Tensor, space: StageSpace) -> Tensor:
        """Compute the maps' gradients, and return those of the features, (members, embedded, padded, columns)."""
        shape = (self.run.length, self._n)
        delta = delta.contiguous()
        weights = torch.unflatten(torch.bmm(delta, space.features.flatten(0, 1).transpose(1, 2)), 0, shape)
        biases = torch.unflatten(delta.sum(dim=2, keepdim=True), 0, shape)
        if self.stage.is_shared:
            weights, biases = (of.sum(dim=1, keepdim=True) for of in (weights, biases))
        self._maps(gradients, "linear").copy_(weights)
        self._maps(gradients, "linear_bias").copy_(biases)
        maps = self._per_column(self._maps(parameters, "linear"))
        return torch.unflatten(torch.bmm(maps.transpose(1, 2), delta), 0, shape)

    def _features_backward(self, parameters: Stack, gradients: Stack, delta: Tensor, space: StageSpace) -> Tensor:
        """Compute the gradients of frequencies and phases; return that of the numbers, (members, embedded, columns)."""
        if self.stage.kind == "piecewise":
            return self._piecewise_backward(parameters, delta, space)
        k = self.stage.frequencies
        of_argument = torch.zeros_like(space.sine)
        torch.mul(delta[:, :, :k], space.sine[:, :, :k], out=of_argument[:, :, :k]).neg_()
        if self.stage.kind == "pbld":
            torch.sum(of_argument, dim=3, out=gradients.of(self._block, "phase"))
        else:
            of_argument[:, :, :k] += delta[:, :, k : 2 * k] * space.features[:, :, :k]
        of_frequency = gradients.of(self._block, "frequency")
        torch.sum(of_argument * space.numbers, dim=3, out=of_frequency)
        of_frequency.mul_(2 * math.pi)
        if not self.stage.missing:
            return delta.new_zeros(1, 1, 1)
        return (2 * math.pi * parameters.of(self._block, "frequency").unsqueeze(3) * of_argument).sum(dim=2)

    def _piecewise_backward(self, parameters: Stack, delta: Tensor, space: StageSpace) -> Tensor:
        if not self.stage.missing:
            return delta.new_zeros(1, 1, 1)
        bins, inverse = self.stage.bins, parameters.of(self._block, "inverse_width")[:, :, : self.stage.bins, None]
        shares = space.features[:, :, :bins]
        is_within = (shares > 0) & (shares < 1) | self._last_of(shares, parameters) & (shares > 0)
        is_within[:, :, 0] |= shares[:, :, 0] <= 0
        of_shares = torch.where(is_within, delta[:, :, :bins] * inverse, 0)
        return of_shares.sum(dim=2) + delta[:, :, bins]

    def _fill_backward(self, gradients: Stack, back: Tensor, space: StageSpace) -> None:
        """Compute the gradients of the trained values of missing numbers; `back` is that of the embedded inputs."""
        shape = (self.run.length, self.stage.n_inputs, space.delta.shape[2])
        of_inputs = space.delta.new_zeros(shape)
        of_inputs[:, self._kept] = space.delta[:, self.stage.kept_from : self.stage.n_units]
        if self._n:
            of_inputs[:, self._embedded] = back
        of_missing = gradients.of(self._block, "missing")[:, : len(self._flag_at)]
        of_missing.copy_((of_inputs[:, self._value_at] * space.flags).sum(dim=2, keepdim=True))
