"""Who takes the steps of a pack on an engine."""

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
from foldstep.worker.steps.compiled import CompiledSteps
from foldstep.worker.steps.eager import EagerSteps, Steps
from foldstep.worker.steps.engine import Backend, Engine
from foldstep.worker.steps.fastest import FastestSteps, Timings, cuda_stopwatch, host_stopwatch
from foldstep.worker.steps.graphs import GraphSteps, recorder_of


@dataclass(frozen=True)
class PackParts:
    """What the steps of a pack work on.

    Attributes:
        class_weights: for each member its classes' weights, (classes,); None for none.
        n_rows: of a full batch.
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
    """The steps of a pack.

    Args:
        backend: of its members.
        parts: the pack.
        eager: the same pack, operation by operation.
        engine: where to train.
    """
    if backend == "compiled":
        pack = parts.net, parts.optimizer, parts.average, parts.best
        return CompiledSteps(*pack, parts.class_weights, parts.n_rows, parts.task)
    record = engine.recorder or recorder_of(engine.device)
    called = GraphSteps(eager, record) if record is not None else eager
    return _fastest(called, parts, eager, engine) if backend == "fused" else called


def _fastest(called: Steps, parts: PackParts, eager: EagerSteps, engine: Engine) -> FastestSteps:
    """The kernel's steps, or the others, whichever turn out to be faster here."""
    from foldstep.models.fused.launch import WARPS
    from foldstep.worker.steps.fused import FusedSteps

    pack = eager, parts.net, parts.optimizer, parts.task
    ways: dict[str, Steps] = {f"a kernel of {warps} warps": FusedSteps(*pack, warps) for warps in WARPS}
    layout, stopwatch = parts.net.layout, cuda_stopwatch if engine.device.type == "cuda" else host_stopwatch
    precision = layout.slots[0].hp.precision  # of all: see `shape_key`
    shape = (layout.n_inputs_padded, *layout.widths, layout.n_outputs, eager.columns, precision)
    return FastestSteps(ways | {"single operations": called}, engine.timings.setdefault(shape, Timings()), stopwatch)
