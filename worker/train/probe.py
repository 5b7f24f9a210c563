"""Measure diagnostics of a pack's members during training, without changing the training.

A probe is the measurement of a member after certain epochs (`is_probed`): the norm of the gradient and each layer's
update in the last step of the epoch; and from a pass over a sample of its training rows, without dropout, the
statistics of each layer's activations, the loss and the metric. The validation loss is recorded after every epoch.

No random numbers are drawn, and weights, gradients and moments are only read, so training gives the same bits with and
without probes. The host waits for the device only in `note`, between epochs. Padded units and columns are not counted.
Sums run over padded axes, so the last bits of a probe may depend on the packing; it is rounded to far fewer bits.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property

import torch
from torch import Tensor

from foldstep.models.catalog.parts import SECOND
from foldstep.models.eager.losses import PackedLoss
from foldstep.models.eager.packed import PackedFNN
from foldstep.models.eager.workspace import Workspace
from foldstep.models.stack import Stack
from foldstep.service.contract.diagnostics import OF_LAYER, OF_NETWORK, rounded
from foldstep.worker.feed.fold import DeviceFold
from foldstep.worker.feed.sample import LossRows
from foldstep.worker.feed.shapes import EVALUATION_COLUMNS
from foldstep.worker.train.activity import LayerActivity
from foldstep.worker.train.member import Member

PAID_BY = 40
"""Training steps for each step's worth of time that probes cost: at most about 2.5 % of the time."""
LAST_PAID_BY = 16
"""The same for the probe of the last epoch, the most informative one; it may cost more of a short training."""
STEPS_OF_PROBE, ROWS_OF_PROBE = 0.5, 80
"""Cost of a probe: half a training step without its pass, and for a pass over 128 rows as much as training on 80 rows;
measured at widths of 32 and 64 with batches of 32 and 128."""
GROWTH = 4
"""Ratio of the numbers of steps before successive probes."""

_GRADIENT_NORM, _TRAIN_LOSS, _TRAIN_SCORE, _CHANCE_LOSS, _OUTPUT_RATIO = range(OF_NETWORK - 1)
_NO_NUMBERS = torch.empty(0)


def is_probed(epoch: int, epochs: int, n_steps: int, n_rows: int) -> bool:
    """Tell whether a member is probed after an epoch; this depends on the member, not on the pack.

    The last epoch is probed, unless the training has too few steps for its cost. Let u be the number of steps that
    justify the cost of a further probe. The first epoch is probed if there are at least 4 u steps in total, and also
    the epochs in which the number of steps reaches u, 4 u, 16 u, … up to a quarter of the total. If patience ends a
    member, that epoch is not probed as its last one.

    Args:
        epoch: 1 for the first.
        epochs: greatest number of epochs of the member.
        n_steps: steps in an epoch.
        n_rows: rows of a step's batch.
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
    """The probe of the members of one pack.

    Attributes:
        net: the pack's network.
        members: its members.
        epoch: the present epoch.
        is_on: whether the present epoch is probed.

    Args:
        net: the pack's network.
        members: its members, in its order.
        folds: the data of its groups.
        n_steps: steps in an epoch.
        n_rows: rows of a step's batch.
        loss: the loss of training, without label smoothing.
        metric: name of the validation metric.
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
        self._weights = [p for p in net.parameters.parts if p.name in ("weight", SECOND[0])]
        self._before: list[Tensor] = []
        self._courses: dict[tuple[int, ...], list[int]] = {}
        for i, member in enumerate(members):
            self._courses.setdefault((*member.legs, member.hp.epochs), []).append(i)
        self.epoch = 0
        self._due: list[bool] = []
        self.is_on = False
        self._table = self._valid_loss = _NO_NUMBERS

    def begin(self, epoch: int) -> None:
        """Start a new epoch: determine which members are probed after it."""
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
        """Switch the probe on for the present epoch."""
        self.is_on = True
        shape = (len(self.members), _first_of(self.net.layout.depth))
        self._table = torch.full(shape, math.nan, dtype=torch.float64, device=self.net.device)

    # -- the last step of an epoch --------------------------------------------------------------------------

    def before_step(self) -> None:
        """Record the norms of the gradients and copy the weights, before the optimizer changes them."""
        self._before = [p.flat.clone() for p in self._weights]
        squares = self._table.new_zeros(len(self.members))
        for part in self.net.gradients.parts:
            squares[self.net.layout.blocks[part.block].run.members] += _norm(part.flat).square()
        self._table[:, _GRADIENT_NORM] = squares.sqrt()

    def after_step(self) -> None:
        """Record the norms of the optimizer's updates, as shares of the norms of the weights."""
        found: dict[int, Tensor] = {}
        for part, before in zip(self._weights, self._before, strict=True):
            norms = torch.stack([_norm(before), _norm(before.sub_(part.flat))])
            found[part.block] = torch.hypot(found[part.block], norms) if part.block in found else norms
        for index, (whole, moved) in found.items():
            block = self.net.layout.blocks[index]
            column = _OUTPUT_RATIO if block.is_output else _first_of(block.layer)
            self._table[block.run.members, column] = moved / whole

    # -- passes without dropout -----------------------------------------------------------------------------

    def validated(self, losses: Tensor) -> None:
        """Record the validation loss of each member, (members,)."""
        self._valid_loss = losses

    @property
    def valid_losses(self) -> list[float]:
        """The validation loss of each member after the present epoch."""
        losses: list[float] = self._valid_loss.tolist()
        return losses

    @cached_property
    def _sample_rows(self) -> LossRows:
        n_columns = max(len(f.sample.x) for f in self._folds) * EVALUATION_COLUMNS
        return LossRows([f.sample.part for f in self._folds], n_columns, self._group_of, self.net.dtype)

    @cached_property
    def _chance_loss(self) -> Tensor:
        """Loss of constant outputs, which do not depend on the row, (members,)."""
        chance = torch.stack([f.sample.part.chance() for f in self._folds]).to(self.net.dtype)
        n_columns = self._sample_rows.weights.shape[2]
        knows_nothing = chance.index_select(0, self._group_of).unsqueeze(2).repeat(1, 1, n_columns)
        return self._sample_rows.losses(self._loss, knows_nothing)

    def look(self, space: Workspace, weights: Stack) -> None:
        """Measure activations, loss and metric in a pass over a sample of the training rows.

        Args:
            space: buffers for EVALUATION_COLUMNS columns.
            weights: the weights that are scored.
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
        """Write the validation loss, and the probe of the members that are due, into the history of each live member.

        A member that has just gone back to an earlier epoch gets neither for this epoch.
        """
        losses, table = self.valid_losses, self._table.tolist()
        for i, (member, is_live, is_due) in enumerate(zip(self.members, live, self._due, strict=True)):
            if not is_live or member.progress.epoch < self.epoch:
                continue
            member.progress.valid_loss.append(rounded(losses[i]))
            if is_due:
                n_numbers = _first_of(len(member.hp.hidden))
                member.progress.probes.append([self.epoch, *map(rounded, table[i][:n_numbers])])


def _first_of(layer: int) -> int:
    """Compute the first column of a hidden layer's numbers, which is its update ratio."""
    return OF_NETWORK - 1 + OF_LAYER * layer


def _norm(flat: Tensor) -> Tensor:
    norm: Tensor = torch.linalg.vector_norm(flat, dim=1)
    return norm
