"""Looks at a pack while it trains, without touching it: what the diagnostics of its members are made of.

After some epochs (`is_probed`) a member gets a reading: the gradient's norm and each layer's update at the last
step of the epoch, and from a pass over some of its training rows, without dropout, what the layers' activations look
like, and the loss and the metric. The validation loss is taken after every epoch, from outputs that are there already.

Nothing is drawn at random, and weights, gradients and moments are only read: the trained bits are the same without
it. The host waits for the device only in `note`, between epochs. Padded units and columns never count. Sums run over
padded axes, so a reading may differ in its last bits from packing to packing; it is rounded to far fewer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from models.losses import Loss
from models.packed import PackedFNN, Workspace
from models.stack import Stack
from service.contract.diagnostics import OF_LAYER, OF_NETWORK, rounded
from worker.train.activity import LayerActivity
from worker.train.pack import Member

if TYPE_CHECKING:
    from worker.train.step import DeviceFold

FIRST_STEPS = 64
"""Steps before the first probe. A probe costs about as much as a step or two; from there on the gaps double."""
FEWEST_STEPS = 16
"""A member that trains less than so many steps in all is not probed: one step more would be felt."""

Score = Callable[["DeviceFold", Tensor, Tensor], Tensor]
"""(fold, outputs, truth) to the metric of each member."""

_GRADIENT_NORM, _TRAIN_LOSS, _TRAIN_SCORE, _CHANCE_LOSS, _OUTPUT_RATIO = range(OF_NETWORK - 1)
_NO_NUMBERS = torch.empty(0)


def is_probed(epoch: int, epochs: int, n_steps: int) -> bool:
    """Whether a member has a reading of an epoch: its last, and those in which its steps reach 64, 128, 256, ….

    A function of the member alone, not of the pack. Where patience ends a member, its last epoch has none.

    Args:
        epoch: 1 for the first.
        epochs: how many the member trains at most.
        n_steps: steps an epoch.
    """
    if epoch == epochs:
        return epochs * n_steps >= FEWEST_STEPS
    after, before = epoch * n_steps // FIRST_STEPS, (epoch - 1) * n_steps // FIRST_STEPS
    return after.bit_length() > before.bit_length()


class Probe:
    """Looks at the members of one pack.

    Attributes:
        is_on: whether some member gets a reading of the present epoch.

    Args:
        net: the pack's network.
        members: in its order.
        folds: the data of its groups.
        n_steps: steps an epoch.
        loss: what is minimised.
        score: the validation metric.
    """

    def __init__(
        self,
        net: PackedFNN,
        members: Sequence[Member],
        folds: Sequence[DeviceFold],
        n_steps: int,
        loss: Loss,
        score: Score,
    ) -> None:
        self.net, self.members = net, members
        self._folds, self._n_steps, self._loss, self._score = folds, n_steps, loss, score
        self._group_of = torch.tensor([s.group for s in net.layout.slots], device=net.device)
        self._weights = [p for p in net.parameters.parts if p.name == "weight"]
        self._before: list[Tensor] = []
        self._epoch = 0
        self._due: list[bool] = []
        self.is_on = False
        self._table = self._valid_loss = _NO_NUMBERS

    def begin(self, epoch: int) -> None:
        """A new epoch starts."""
        self._epoch = epoch
        self._due = [m.progress.end is None and is_probed(epoch, m.hp.epochs, self._n_steps) for m in self.members]
        self.is_on = any(self._due)
        shape = (len(self.members), _first_of(self.net.layout.depth)) if self.is_on else (0,)
        self._table = torch.full(shape, math.nan, dtype=torch.float64, device=self.net.device)

    # -- the last step of an epoch --------------------------------------------------------------------------

    def before_step(self) -> None:
        """The gradients are there, and the optimizer has touched nothing yet."""
        self._before = [p.flat.clone() for p in self._weights]
        squares = self._table.new_zeros(len(self.members))
        for part in self.net.gradients.parts:
            squares[self.net.layout.blocks[part.block].run.members] += _norm(part.flat).square()
        self._table[:, _GRADIENT_NORM] = squares.sqrt()

    def after_step(self) -> None:
        """The optimizer has moved the parameters."""
        for part, before in zip(self._weights, self._before, strict=True):
            block = self.net.layout.blocks[part.block]
            column = _OUTPUT_RATIO if block.is_output else _first_of(block.layer)
            norm = _norm(before)
            self._table[block.run.members, column] = _norm(before.sub_(part.flat)) / norm

    # -- passes without dropout -----------------------------------------------------------------------------

    def validated(self, outputs: Tensor) -> None:
        """Take the validation loss from (members, outputs, columns) of the validation rows."""
        self._valid_loss = torch.empty(len(self.members), dtype=outputs.dtype, device=outputs.device)
        for group, run in self.net.layout.group_runs:
            part = self._folds[group].valid_part
            self._valid_loss[run.members] = part.loss(self._loss, outputs[run.members])

    def look(self, space: Workspace, weights: Stack) -> None:
        """Pass training rows through the networks.

        Args:
            space: buffers for EVALUATION_COLUMNS columns.
            weights: those that are scored.
        """
        samples = [f.sample for f in self._folds]
        layers = [LayerActivity(self.net.layout, i, space.hidden[i]) for i in range(self.net.layout.depth)]
        outputs = []
        for chunk in range(max(len(s.x) for s in samples)):
            out = self.net.evaluate([s.inputs(chunk) for s in samples], space, weights)
            outputs.append(out[:, : self.net.layout.n_outputs].clone())
            shares = torch.stack([s.shares(chunk) for s in samples])[self._group_of]
            self._chunk_passed(layers, space, shares)
        for i, layer in enumerate(layers):
            columns = slice(_first_of(i) + 1, _first_of(i) + OF_LAYER)
            self._table[: self.net.layout.active[i], columns] = layer.numbers()
        self._note_outputs(torch.cat(outputs, dim=2))

    def _chunk_passed(self, layers: Sequence[LayerActivity], space: Workspace, shares: Tensor) -> None:
        for layer, activations in zip(layers, space.hidden, strict=True):
            layer.add(activations, shares[: len(activations)])

    def _note_outputs(self, outputs: Tensor) -> None:
        for group, run in self.net.layout.group_runs:
            fold, own = self._folds[group], outputs[run.members]
            part = fold.sample.part
            self._table[run.members, _TRAIN_LOSS] = part.loss(self._loss, own).double()
            self._table[run.members, _TRAIN_SCORE] = self._score(fold, own, part.truth)
            self._table[run.members, _CHANCE_LOSS] = part.chance_loss(self._loss).double()

    # -- out ------------------------------------------------------------------------------------------------

    def note(self, live: Sequence[bool]) -> None:
        """Write the validation loss, and the reading where one is due, into each live member's history."""
        losses, table = self._valid_loss.tolist(), self._table.tolist()
        for i, (member, is_live, is_due) in enumerate(zip(self.members, live, self._due, strict=True)):
            if is_live:
                member.progress.valid_loss.append(rounded(losses[i]))
            if is_due:
                n_numbers = _first_of(len(member.hp.hidden))
                member.progress.probes.append([self._epoch, *map(rounded, table[i][:n_numbers])])


def _first_of(layer: int) -> int:
    """The column where a hidden layer's numbers begin, its update ratio first."""
    return OF_NETWORK - 1 + OF_LAYER * layer


def _norm(flat: Tensor) -> Tensor:
    return torch.linalg.vector_norm(flat, dim=1, dtype=flat.dtype)
