"""Describe where and how packs train: the device, and the backends that may be used."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec

import torch

from foldstep.models.catalog.backends import Backend
from foldstep.models.fused.members import is_covered
from foldstep.models.hyperparameters import Hyperparameters
from foldstep.worker.steps.compiled import is_compiled
from foldstep.worker.steps.cost import StepCost
from foldstep.worker.steps.fastest import Timings
from foldstep.worker.steps.graphs import Recorder


@cache
def has_triton() -> bool:
    """Tell whether Triton, which compiles the fused kernel, is installed; it is a part of PyTorch for CUDA only."""
    return find_spec("triton") is not None


@dataclass(frozen=True)
class Engine:
    """One device, with the settings and measurements of training on it.

    Attributes:
        device: the device.
        pack_bytes: greatest estimated memory of a pack, in bytes; see `worker/settings.py`.
        dtype: float32, or float64 in tests.
        may_compile: whether the compiled backend trains the members that it covers.
        may_fuse: whether the fused backend trains what it covers; opt-in: no GPU has passed `tests/gpu` yet.
        may_capture: whether steps are captured if the device can.
        recorder: captures steps; None for the recorder of the device.
        packs_in_flight: number of packs that train at a time.
        step_cost: cost of a step, fitted to the packs that were trained.
        timings: measurements of the ways to take a pack's steps, by the pack's shape.
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

    def backend(self, hp: Hyperparameters, n_inputs: int, n_outputs: int, n_targets: int = 1) -> Backend:
        """Choose the backend of a member; it depends on the member and the machine, not on the pack.

        Args:
            hp: the member's hyperparameters.
            n_inputs: input units of its network.
            n_outputs: its output units.
            n_targets: targets or labels that it predicts; the fused backend has the losses of one.
        """
        if self.may_compile and is_compiled(hp, self.device):
            return "compiled"
        may_fuse = self.may_fuse and has_triton() and n_targets == 1
        return "fused" if may_fuse and is_covered(hp, n_inputs, n_outputs) else "eager"

    def wait(self) -> None:
        """Wait until the device has finished all work in its queues."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
