"""Where and how packs train."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from worker.train.compiled import is_compiled
from worker.train.cost import StepCost
from worker.train.graphs import Recorder
from worker.train.pack import Member


@dataclass(frozen=True)
class Engine:
    """One device, and what is used of it.

    Attributes:
        dtype: float32, or float64 in tests.
        pack_bytes: estimated memory at which a pack is cut; see `worker/settings.py`.
        may_compile: whether the compiled library takes the steps where it can.
        recorder: captures steps; the device's own way when left out.
        step_cost: what the packs that it trained have taken.
    """

    device: torch.device
    pack_bytes: int
    dtype: torch.dtype = torch.float32
    may_compile: bool = True
    recorder: Recorder | None = None
    step_cost: StepCost = field(default_factory=StepCost, compare=False)

    def compiles(self, member: Member) -> bool:
        """Whether the compiled library takes a member's steps."""
        return self.may_compile and is_compiled(member.hp, self.device)
