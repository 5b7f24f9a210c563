"""Reads the diagnostics of a pack's members while it trains, without changing its training.

After some epochs (`is_probed`) a member gets a reading: the gradient's norm and each layer's update at the last
step of the epoch, and from a pass over some of its training rows, without dropout, what the layers' activations look
like, and the loss and the metric. The validation loss is taken after every epoch, with its scores.

Nothing is drawn at random, and weights, gradients and moments are only read: the trained bits are the same without
it. The host waits for the device only in `note`, between epochs. Padded units and columns never count. Sums run over
padded axes, so a reading may differ in its last bits from packing to packing; it is rounded to far fewer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property

import torch
from torch import Tensor

from foldstep.models.eager.losses import PackedLoss
from foldstep.models.eager.packed import PackedFNN, Workspace
from foldstep.models.stack import Stack
from foldstep.service.contract.diagnostics import OF_LAYER, OF_NETWORK, rounded
from foldstep.worker.feed.fold import DeviceFold
from foldstep.worker.feed.sample import LossRows
from foldstep.worker.feed.shapes import EVALUATION_COLUMNS
from foldstep.worker.train.activity import LayerActivity
from foldstep.worker.train.member import Member

PAID_BY = 40
"""Steps that are taken for each step that probes cost: about 2.5 % at most."""
LAST_PAID_BY = 16
"""The same for the last epoch's probe, which says the most: of a short training it may cost more."""
STEPS_OF_PROBE, ROWS_OF_PROBE = 0.5, 80
"""What a probe costs, in steps: a half for what it does beside its pass, and as much as training 80 rows for its pass
over 128; measured at widths of 32 and 64 with batches of 32 and 128."""
GROWTH = 4
"""Factor of the steps from one probe to the next."""

_GRADIENT_NORM, _TRAIN_LOSS, _TRAIN_SCORE, _CHANCE_LOSS, _OUTPUT_RATIO = range(OF_NETWORK - 1)
_NO_NUMBERS = torch.empty(0)


def is_probed(epoch: int, epochs: int, n_steps: int, n_rows: int) -> bool:
    """Tell whether a member has a reading of an epoch: a function of the member alone, not of the pack.

    The last epoch, unless there are too few steps in all to pay for it. With u the steps that pay for another probe:
    the first epoch, too, if there are 4 u steps, and those in which its steps reach u, 4 u, 16 u, … as long as four
    times as many are to come. Where patience ends a member, its last epoch has none.

    Args:
        epoch: 1 for the first.
        epochs: how many the member trains at most.
        n_steps: steps an epoch.
        n_rows: rows of a step.
    """
    cost, total = STEPS_OF_PROBE + ROWS_OF_PROBE / n_rows, epochs * n_steps
    if epoch == epochs:
        return total >= LAST_PAID_BY * cost
    unit = PAID_BY * cost
    if epoch == 1:
        return total >= GROWTH * unit
    due = unit
    while due <= (epoch - 1) * n_steps:
        due *= GROWTH
    return due <= epoch * n_steps and GROWTH * due <= total


class Probe:
    """Looks at the members of one pack.

    Attributes:
        epoch: the present one.
        is_on: whether it is looked at.

    Args:
        net: the pack's network.
        members: in its order.
        folds: the data of its groups.
        n_steps: steps an epoch.
        n_rows: rows of a step.
        loss: what is minimised, without label smoothing.
        metric: its name.
    """

    def __init__(
        self,
        net: PackedFNN,
        members: Sequence[Member],
        folds: Sequence[DeviceFold],
        n_steps: int,
        n_rows: int,
        loss: PackedLoss,
        metric: str,
    ) -> None:
        self.net, self.members = net, members
        self._folds, self._shape, self._loss, self._metric = folds, (n_steps, n_rows), loss, metric
        self._group_of = torch.tensor([s.group for s in net.layout.slots], device=net.device)
        self._weights = [p for p in net.parameters.parts if p.name == "weight"]
        self._before: list[Tensor] = []
        self._courses: dict[tuple[int, ...], list[int]] = {}
        for i, member in enumerate(members):
            self._courses.setdefault((*member.legs, member.hp.epochs), []).append(i)
        self.epoch = 0
        self._due: list[bool] = []
        self.is_on = False
        self._table = self._valid_loss = _NO_NUMBERS

    def begin(self, epoch: int) -> None:
        """Start a new epoch: find out which members are due."""
        self.epoch, self.is_on = epoch, False
        self._due = [False] * len(self.members)
        for which in self._courses.values():
            if is_probed(epoch, self.members[which[0]].epochs_at(epoch), *self._shape):
                for i in which:
                    progress = self.members[i].progress
                    self._due[i] = progress.end is None and progress.epoch == epoch - 1
        self._table = _NO_NUMBERS
        if any(self._due):
            self.turn_on()

    def turn_on(self) -> None:
        """Look at the present epoch."""
        self.is_on = True
        shape = (len(self.members), _first_of(self.net.layout.depth))
        self._table = torch.full(shape, math.nan, dtype=torch.float64, device=self.net.device)

    # -- the last step of an epoch --------------------------------------------------------------------------

    def before_step(self) -> None:
        """Read the gradients and remember the weights, before the optimizer has changed anything."""
        self._before = [p.flat.clone() for p in self._weights]
        squares = self._table.new_zeros(len(self.members))
        for part in self.net.gradients.parts:
            squares[self.net.layout.blocks[part.block].run.members] += _norm(part.flat).square()
        self._table[:, _GRADIENT_NORM] = squares.sqrt()

    def after_step(self) -> None:
        """Read how far the optimizer has moved the weights."""
        for part, before in zip(self._weights, self._before, strict=True):
            block = self.net.layout.blocks[part.block]
            column = _OUTPUT_RATIO if block.is_output else _first_of(block.layer)
            norm = _norm(before)
            self._table[block.run.members, column] = _norm(before.sub_(part.flat)) / norm

    # -- passes without dropout -----------------------------------------------------------------------------

    def validated(self, losses: Tensor) -> None:
        """Take the validation loss of each member, (members,)."""
        self._valid_loss = losses

    @cached_property
    def _sample_rows(self) -> LossRows:
        n_columns = max(len(f.sample.x) for f in self._folds) * EVALUATION_COLUMNS
        return LossRows([f.sample.part for f in self._folds], n_columns, self._group_of, self.net.dtype)

    @cached_property
    def _chance_loss(self) -> Tensor:
        """(members,): of outputs that know nothing of a row."""
        chance = torch.stack([f.sample.part.chance() for f in self._folds]).to(self.net.dtype)
        n_columns = self._sample_rows.weights.shape[2]
        knows_nothing = chance.index_select(0, self._group_of).unsqueeze(2).repeat(1, 1, n_columns)
        return self._sample_rows.losses(self._loss, knows_nothing)

    def look(self, space: Workspace, weights: Stack) -> None:
        """Pass training rows through the networks.

        Args:
            space: buffers for EVALUATION_COLUMNS columns.
            weights: those that are scored.
        """
        layers = [LayerActivity(self.net.layout, i, space.hidden[i]) for i in range(self.net.layout.depth)]
        shares = self._sample_rows.weights.transpose(1, 2)
        outputs = []
        for first in range(0, shares.shape[1], EVALUATION_COLUMNS):
            chunk = first // EVALUATION_COLUMNS
            out = self.net.evaluate([f.sample.inputs(chunk) for f in self._folds], space, weights)
            outputs.append(out[:, : self.net.layout.n_outputs].clone())
            self._passed(layers, space, shares[:, first : first + EVALUATION_COLUMNS])
        for i, layer in enumerate(layers):
            columns = slice(_first_of(i) + 1, _first_of(i) + OF_LAYER)
            self._table[: self.net.layout.active[i], columns] = layer.numbers()
        self._note_outputs(torch.cat(outputs, dim=2))

    def _passed(self, layers: Sequence[LayerActivity], space: Workspace, shares: Tensor) -> None:
        for layer, activations in zip(layers, space.hidden, strict=True):
            layer.add(activations, shares[: len(activations)])

    def _note_outputs(self, outputs: Tensor) -> None:
        for group, run in self.net.layout.group_runs:
            part = self._folds[group].sample.part
            self._table[run.members, _TRAIN_SCORE] = part.score(self._metric, outputs[run.members])
        self._table[:, _CHANCE_LOSS] = self._chance_loss
        self._table[:, _TRAIN_LOSS] = self._sample_rows.losses(self._loss, outputs)

    # -- out ------------------------------------------------------------------------------------------------

    def note(self, live: Sequence[bool]) -> None:
        """Write the validation loss, and the reading where one is due, into each live member's history.

        A member that has just gone back to an earlier epoch forgets this one, and what was seen of it.
        """
        losses, table = self._valid_loss.tolist(), self._table.tolist()
        for i, (member, is_live, is_due) in enumerate(zip(self.members, live, self._due, strict=True)):
            if not is_live or member.progress.epoch < self.epoch:
                continue
            member.progress.valid_loss.append(rounded(losses[i]))
            if is_due:
                n_numbers = _first_of(len(member.hp.hidden))
                member.progress.probes.append([self.epoch, *map(rounded, table[i][:n_numbers])])


def _first_of(layer: int) -> int:
    """Give the column where a hidden layer's numbers begin, its update ratio first."""
    return OF_NETWORK - 1 + OF_LAYER * layer


def _norm(flat: Tensor) -> Tensor:
    norm: Tensor = torch.linalg.vector_norm(flat, dim=1)
    return norm
