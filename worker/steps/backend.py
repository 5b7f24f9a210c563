"""Make the steps of a pack, by the backend of its members."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from foldstep.models.catalog.tasks import Task
from foldstep.models.eager.averaging import WeightAverage
from foldstep.models.eager.optim import PackedOptimizer
from foldstep.models.eager.packed import PackedFNN
from foldstep.models.stack import Stack
from foldstep.worker.steps.agreement import Comparison, kinds_of
from foldstep.worker.steps.compiled import CompiledSteps
from foldstep.worker.steps.eager import EagerSteps
from foldstep.worker.steps.engine import Backend, Engine
from foldstep.worker.steps.fastest import FastestSteps, Timings, cuda_stopwatch, host_stopwatch
from foldstep.worker.steps.graphs import GraphSteps, recorder_of
from foldstep.worker.steps.protocol import FastSteps, Steps

PLAIN = "single operations"
"""Name of the plain way (the eager backend) in logs and timings."""


@dataclass(frozen=True)
class PackParts:
    """The parts of a pack that its steps read and change.

    Attributes:
        net: their network.
        optimizer: its optimizer.
        average: the running average of its weights; None if no member has one.
        best: stack of the weights of each member's best epoch.
        class_weights: for each member the weights of its classes, (classes,); None for equal weights.
        n_rows: rows of a full batch.
        task: `classification` or `regression`.
    """

    net: PackedFNN
    optimizer: PackedOptimizer
    average: WeightAverage | None
    best: Stack
    class_weights: Sequence[npt.NDArray[np.float64] | None]
    n_rows: int
    task: Task


def steps_of(backend: Backend, parts: PackParts, eager: EagerSteps, engine: Engine) -> Steps:
    """Make the steps of a pack.

    Args:
        backend: the backend of its members.
        parts: the parts of the pack.
        eager: the eager steps of the same pack.
        engine: the device and its settings.
    """
    if backend == "compiled":
        pack = parts.net, parts.optimizer, parts.average, parts.best
        return CompiledSteps(*pack, parts.class_weights, parts.n_rows, parts.task)
    ways = _kernels(parts) if backend == "fused" else {}
    record = (engine.recorder or recorder_of(engine.device)) if engine.may_capture else None
    if record is not None:
        ways["captured steps"] = GraphSteps(eager, record)
    return _fastest(ways, parts, eager, engine) if ways else eager


def _kernels(parts: PackParts) -> dict[str, FastSteps]:
    """Make the fused steps, by name, for each number of warps to try."""
    from foldstep.models.fused.launch import WARPS
    from foldstep.worker.steps.fused import FusedSteps

    return {f"a kernel of {n} warps": FusedSteps(parts.net, parts.optimizer, parts.task, n) for n in WARPS}


def _fastest(ways: dict[str, FastSteps], parts: PackParts, eager: EagerSteps, engine: Engine) -> FastestSteps:
    """Make steps that choose the fastest way; if steps cannot be captured, the eager steps are one of the ways."""
    layout, stopwatch = parts.net.layout, cuda_stopwatch if engine.device.type == "cuda" else host_stopwatch
    precision = layout.slots[0].hp.precision  # the precision of all members: see `shape_key`
    shape = (layout.n_inputs_padded, *layout.widths, layout.n_outputs, eager.columns, precision)
    timings, kinds = engine.timings.setdefault(shape, Timings()), kinds_of(layout)
    if "captured steps" not in ways:
        ways = ways | {PLAIN: eager}
        timings.agree(PLAIN, kinds)
    comparison = Comparison(eager, parts.net, parts.optimizer, parts.average)
    return FastestSteps(ways, eager, comparison, kinds, timings, stopwatch)
