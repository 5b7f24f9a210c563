"""Hidden units with a second linear map, see `models.catalog.units`: gated units and maxout, forward and backward.

With z and w the two maps, and a the activation of z (after a normalisation): a gated unit is a w, whose derivatives are
w by a and a by w; maxout is max(z, w), whose derivative goes to the greater one, at a tie one half to each, as in
PyTorch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from foldstep.models.catalog.parts import SECOND
from foldstep.models.eager.products import LinearMap
from foldstep.models.eager.workspace import Workspace
from foldstep.models.layout import Layout, Run
from foldstep.models.stack import Stack


class Pairs:
    """The second linear maps of a hidden layer, for a run of members with the same kind of units.

    Attributes:
        run: the members.
        is_gated: whether the units are gated; else they are maxout.

    Args:
        layout: the members of the pack.
        layer: 0 for the first.
        is_gated: as above.
        run: the members.
        dtype: type of the numbers.
        device: device of the numbers.
    """

    def __init__(
        self, layout: Layout, layer: int, is_gated: bool, run: Run, dtype: torch.dtype, device: torch.device
    ) -> None:
        self.run, self.is_gated = run, is_gated
        self._layer = layer
        self._map = LinearMap(layout, layer, dtype, device, SECOND, run, adds=True)

    def multiply(self, stack: Stack, inputs: Sequence[Tensor], space: Workspace) -> None:
        """Compute the second map; arguments as for `LinearMap.forward`."""
        self._map.forward(stack, inputs, space, self._second(space))

    def join(self, values: Tensor, space: Workspace) -> None:
        """Join the maps, in place: activations with w to gated units, z with w to maxout.

        Args:
            values: (members of the layer, units, columns): activations, or z.
            space: the buffers of the pass; in training, `firsts` keeps the values.
        """
        own, second, kept = values[self.run.members], self._second(space), space.firsts[self._layer]
        if kept is not None:
            kept[self.run.members].copy_(own)
        if self.is_gated:
            own.mul_(second)
        else:
            torch.maximum(own, second, out=own)

    def part(self, delta: Tensor, space: Workspace) -> None:
        """Turn the gradient with respect to what `join` made into that with respect to its values, in place.

        The gradient with respect to w takes the place of w in `space`.
        """
        own, second, kept = delta[self.run.members], self._second(space), space.firsts[self._layer]
        assert kept is not None
        first = kept[self.run.members]
        if self.is_gated:
            of_first = own * second
            torch.mul(own, first, out=second)
        else:
            shares = (first > second).to(own.dtype).add_((first == second).to(own.dtype), alpha=0.5)
            of_first = own * shares
            torch.mul(own, 1 - shares, out=second)
        own.copy_(of_first)

    def multiply_backward(
        self, inputs: Sequence[Tensor], space: Workspace, parameters: Stack, gradients: Stack
    ) -> None:
        """Compute the gradients of the second map, after those of the first; arguments as for `LinearMap.backward`."""
        self._map.backward(self._second(space), inputs, space, parameters, gradients)

    def _second(self, space: Workspace) -> Tensor:
        second = space.seconds[self._layer]
        assert second is not None
        return second[self.run.members]


IS_GATED: Mapping[str, bool | None] = {"plain": None, "glu": True, "maxout": False}
"""By the value of the hyperparameter `units`; None for no second linear map."""


def pairs_of(layout: Layout, layer: int, dtype: torch.dtype, device: torch.device) -> list[Pairs]:
    """List the runs of a hidden layer whose units have a second linear map."""
    runs = layout.runs(lambda s: IS_GATED[s.hp.units], stop=layout.active[layer])
    return [Pairs(layout, layer, is_gated, run, dtype, device) for is_gated, run in runs if is_gated is not None]
