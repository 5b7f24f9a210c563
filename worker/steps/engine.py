"""Describes where and how packs train: the device, and which backends may be used."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from typing import Literal, TypeAlias

import torch

from foldstep.models.fused.members import is_covered
from foldstep.models.hyperparameters import Hyperparameters
from foldstep.worker.steps.compiled import is_compiled
from foldstep.worker.steps.cost import StepCost
from foldstep.worker.steps.fastest import Timings
from foldstep.worker.steps.graphs import Recorder

Backend: TypeAlias = Literal["compiled", "fused", "eager"]
"""How a member's steps are taken: `compiled` by the library in C++; `fused` by the kernel for GPUs where it is right
and the fastest; `eager` by `models.eager`, captured where the device can."""


@cache
def has_triton() -> bool:
    """Tell whether there is what compiles the kernel: PyTorch for CUDA brings it along, PyTorch for CPUs does not."""
    return find_spec("triton") is not None


@dataclass(frozen=True)
class Engine:
    """One device, and what is used of it.

    Attributes:
        dtype: float32, or float64 in tests.
        pack_bytes: estimated memory at which a pack is cut; see `worker/settings.py`.
        may_compile: whether the compiled library trains the members that it covers.
        may_fuse: whether the kernel for GPUs does where it can: opt-in, for no GPU has passed `tests/gpu` yet.
        may_capture: whether steps are captured where the device can.
        recorder: captures steps; the device's own way when left out.
        packs_in_flight: how many train at a time.
        step_cost: what the packs that it trained have taken.
        timings: what is known of the ways to take a pack's steps, by its shape.
    """

    device: torch.device
    pack_bytes: int
    dtype: torch.dtype = torch.float32
    may_compile: bool = True
    may_fuse: bool = False
    may_capture: bool = True
    recorder: Recorder | None = None
    packs_in_flight: int = 1
    step_cost: StepCost = field(default_factory=StepCost, compare=False)
    timings: dict[object, Timings] = field(default_factory=dict, compare=False)

    def backend(self, hp: Hyperparameters, n_inputs: int, n_outputs: int) -> Backend:
        """Choose the backend of a member: a function of the member and the machine, not of the pack.

        Args:
            hp: the member's hyperparameters.
            n_inputs: input units of its network.
            n_outputs: its output units.
        """
        if self.may_compile and is_compiled(hp, self.device):
            return "compiled"
        return "fused" if self.may_fuse and has_triton() and is_covered(hp, n_inputs, n_outputs) else "eager"

    def wait(self) -> None:
        """Wait until the device has done all that it was asked for."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
