"""The parts of a pack's stacks, cut into segments of members that one call of an update rule changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from foldstep.models.eager.packed import PackedFNN
from foldstep.models.hyperparameters import Hyperparameters
from foldstep.models.layout import Run
from foldstep.models.updates import UpdateNumbers, part_factors, update_numbers


class Pace(NamedTuple):
    """Numbers of all members of the pack in one step, (members, 1): learning rates, and factors on the weight decay.

    `decays` is None if all are 1.
    """

    rates: Tensor
    decays: Tensor | None


@dataclass(frozen=True)
class Segment:
    """One part of the stacks for one run of members, as views (members, numbers).

    Attributes:
        part: the part's name, a key of `PARTS`.
        layer: its layer, 0 for the first.
        pace: factors on the learning rate, (members, 1); None if all are 1.
        initial: the weights that some members decay towards; None if all decay towards zero.
        goes_back: which members decay towards `initial`, (members, 1) bool.
    """

    net: PackedFNN
    run: Run
    part: str
    layer: int
    pace: Tensor | None
    initial: Tensor | None
    goes_back: Tensor
    parameters: Tensor
    gradients: Tensor
    first: Tensor
    second: Tensor | None
    update: Tensor | None

    def column(self, value: Callable[[UpdateNumbers], float]) -> Tensor:
        """Make a column of one coefficient of each member's rule, (members, 1)."""
        return column(self.net, self.run, lambda hp: value(update_numbers(hp)))

    def decay(self, value: Callable[[UpdateNumbers], float]) -> Tensor:
        """Make a column of a coefficient that is a weight decay, times the part's factor, (members, 1)."""
        return column(
            self.net,
            self.run,
            lambda hp: value(update_numbers(hp)) * part_factors(hp, self.part, self.layer).decay,
        )

    def rates(self, pace: Pace) -> Tensor:
        """Compute the part's learning rates, (members, 1)."""
        own = pace.rates[self.run.members]
        return own if self.pace is None else own * self.pace

    def add_decay(self, l2: Tensor, pace: Pace) -> None:
        """Add the L2 decay, with coefficients (members, 1), to the gradients."""
        l2 = self.present(l2, pace)
        self.gradients.addcmul_(self.parameters, l2)
        if self.initial is not None:
            drawn = self.gradients - l2 * self.initial
            torch.where(self.goes_back, drawn, self.gradients, out=self.gradients)

    def shrink(self, decay: Tensor, pace: Pace) -> None:
        """Decay the parameters directly, with coefficients (members, 1)."""
        share = self.rates(pace) * self.present(decay, pace)
        self.parameters.mul_(1 - share)
        if self.initial is not None:
            drawn = self.parameters + share * self.initial
            torch.where(self.goes_back, drawn, self.parameters, out=self.parameters)

    def present(self, decay: Tensor, pace: Pace) -> Tensor:
        """Compute the decay of this step from the constant one, (members, 1) each."""
        return decay if pace.decays is None else decay * pace.decays[self.run.members]


def column(net: PackedFNN, run: Run, value: Callable[[Hyperparameters], float]) -> Tensor:
    """Make a column of one number of each member of a run, (members, 1)."""
    numbers = [value(s.hp) for s in net.layout.slots[run.members]]
    return torch.tensor(numbers, dtype=net.dtype, device=net.device).unsqueeze(1)


def pace_of(net: PackedFNN, run: Run, part: str, layer: int) -> Tensor | None:
    """Make a column of the factors on the learning rate of a part, (members, 1); None if all are 1."""
    factors = column(net, run, lambda hp: part_factors(hp, part, layer).rate)
    return factors if bool((factors != 1).any()) else None
