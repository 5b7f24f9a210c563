"""Launch the kernel for the members of a pack."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from foldstep.models.catalog.tasks import Task
from foldstep.models.fused.kernel import take_steps
from foldstep.models.fused.members import MemberTables, power_of_two
from foldstep.models.fused.numbers import ACTIVATION_NAMES, FAMILY_NAMES, LOSS_NAMES, bits
from foldstep.models.layout import Layout, Run
from foldstep.models.stack import Stack
from foldstep.models.streams import Stream

WARPS = (4, 8)
"""Numbers of warps to try; the faster one depends on the GPU and on the shapes."""
_FINE, _ROUNDED = "tf32x3", "tf32"
"""Precision of float32 products. `_FINE` computes each by three products on tensor cores, about as exact as float32
(Ootomo and Yokota 2022); without tensor cores the compiler would spill a hundred times as many registers. `_ROUNDED`
computes one product of factors rounded to TF32, for trials that allow it."""


@dataclass(frozen=True)
class FedSteps:
    """The kernel's input for an epoch: batches, noise and learning rates.

    Attributes:
        inputs: (steps, groups, columns, padded inputs).
        targets: (steps, groups, classes or channels, columns).
        weights: (steps, groups, columns).
        noise: (steps, noise layers, streams, 2, 1, 1) int32; None if no member drops units.
        rates: (steps, members, 1) learning rates.
    """

    inputs: Tensor
    targets: Tensor
    weights: Tensor
    noise: Tensor | None
    rates: Tensor


class FusedMembers:
    """The members of a layout, trained by the kernel; `models.fused.members.is_covered` holds for each of them.

    Args:
        layout: the members.
        parameters: their weights.
        first: first moments.
        second: second moments; None if no rule of the pack has them.
        streams: the pack's streams, in the order of the noise keys.
        task: `classification` or `regression`.
        warps: number of warps that compute one member.
    """

    def __init__(
        self,
        layout: Layout,
        parameters: Stack,
        first: Stack,
        second: Stack | None,
        streams: Sequence[Stream],
        task: Task,
        warps: int,
    ) -> None:
        self._layout, self._parameters, self._first, self._second = layout, parameters, first, second
        self._classifies, self._warps = task == "classification", warps
        self._tables = MemberTables(layout, parameters, streams, task)
        may_round = layout.slots[0].hp.precision != "float32"  # the precision of all members: it is equal within a pack
        self._precision = {torch.float32: _ROUNDED if may_round else _FINE, torch.float64: "ieee"}
        self._activations = bits(ACTIVATION_NAMES, {a for s in layout.slots for a in s.hp.activation})
        self._losses = bits(LOSS_NAMES, {s.hp.loss_for(task) for s in layout.slots})
        self._rules = bits(FAMILY_NAMES, {s.hp.family for s in layout.slots})

    def take(self, fed: FedSteps, steps: range, before: int) -> Tensor:
        """Take some steps of an epoch.

        Args:
            fed: the epoch's batches.
            steps: the steps to take, counted from 0.
            before: number of steps that the members have taken before this epoch.

        Returns:
            Each member's sum of losses over the steps, (members,).
        """
        losses = torch.zeros(len(self._layout), dtype=fed.rates.dtype, device=fed.rates.device)
        rates = fed.rates.squeeze(2)
        paces, scales = self._corrected(rates, before)
        for depth, run in self._layout.depth_runs:
            self._launch(fed, steps, (rates, paces, scales), losses, depth, run)
        return losses

    def _corrected(self, rates: Tensor, before: int) -> tuple[Tensor, Tensor]:
        """Compute rate / (Adam's first bias correction) and 1 / sqrt(the second correction), (steps, members) each."""
        taken = torch.arange(before + 1, before + 1 + len(rates), dtype=torch.float64, device=rates.device)
        first, second = 1 - self._tables.betas.unsqueeze(1) ** taken.unsqueeze(1)
        return (rates / first).to(rates.dtype), second.rsqrt().to(rates.dtype)

    def _launch(
        self,
        fed: FedSteps,
        steps: range,
        paces: tuple[Tensor, Tensor, Tensor],
        losses: Tensor,
        depth: int,
        run: Run,
    ) -> None:
        layout, tables = self._layout, self._tables
        n_groups, n_columns, n_inputs = fed.inputs.shape[1:]
        noise, second = fed.noise, self._second
        hidden = [s.hp.hidden for s in layout.slots[run.members]]
        units = power_of_two(max((max(widths) for widths in hidden if widths), default=1))
        inputs, outputs = power_of_two(n_inputs), power_of_two(layout.n_outputs)
        take_steps[(run.length,)](
            self._parameters.buffer, self._first.buffer, self._first.buffer if second is None else second.buffer,
            fed.inputs, fed.targets, fed.weights, *paces, tables.whole if noise is None else noise, tables.whole,
            tables.real, losses, steps.start, steps.stop, run.start, len(layout), n_groups,
            1 if noise is None else noise.shape[2], 0 if noise is None else noise.shape[1], n_columns, n_columns,
            n_inputs, fed.targets.shape[2], layout.n_outputs, tables.whole.shape[1], tables.real.shape[1],
            DEPTH=depth, INPUTS=inputs, UNITS=units, OUTPUTS=outputs, COLUMNS=power_of_two(n_columns),
            ACTIVATIONS=self._activations, LOSSES=self._losses, RULES=self._rules, CLASSIFIES=self._classifies,
            DROPS=noise is not None, REMEMBERS=second is not None, PRECISION=self._precision[fed.rates.dtype],
            num_warps=self._warps,
            num_stages=1,  # no prefetching: a step reads weights that the step before has written
        )  # fmt: skip
