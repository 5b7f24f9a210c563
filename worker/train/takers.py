"""Who takes the steps of a pack on an engine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from foldstep.models.averaging import WeightAverage
from foldstep.models.optim import PackedOptimizer
from foldstep.models.packed import PackedFNN
from foldstep.models.stack import Stack
from foldstep.worker.train.compiled import CompiledSteps
from foldstep.worker.train.eager import EagerSteps, Steps
from foldstep.worker.train.engine import Engine, Taker
from foldstep.worker.train.graphs import GraphSteps, recorder_of
from foldstep.worker.train.quickest import QuickestSteps, Timings, cuda_stopwatch, host_stopwatch


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
    task: str


def steps_by(taker: Taker, parts: PackParts, eager: EagerSteps, engine: Engine) -> Steps:
    """The steps of a pack.

    Args:
        taker: of its members.
        parts: the pack.
        eager: the same pack, operation by operation.
        engine: where to train.
    """
    if taker == "compiled":
        pack = parts.net, parts.optimizer, parts.average, parts.best
        return CompiledSteps(*pack, parts.class_weights, parts.n_rows, parts.task)
    record = engine.recorder or recorder_of(engine.device)
    called = GraphSteps(eager, record) if record is not None else eager
    return _quickest(called, parts, eager, engine) if taker == "fused" else called


def _quickest(called: Steps, parts: PackParts, eager: EagerSteps, engine: Engine) -> QuickestSteps:
    """The kernel's steps, or the others, whichever turn out to be faster here."""
    from foldstep.models.fused.launch import WARPS
    from foldstep.worker.train.fused import FusedSteps

    pack = eager, parts.net, parts.optimizer, parts.task
    ways: dict[str, Steps] = {f"a kernel of {warps} warps": FusedSteps(*pack, warps) for warps in WARPS}
    layout, stopwatch = parts.net.layout, cuda_stopwatch if engine.device.type == "cuda" else host_stopwatch
    precision = layout.slots[0].hp.precision  # of all: see `pack_key`
    shape = (layout.n_inputs_padded, *layout.widths, layout.n_outputs, eager.columns, precision)
    return QuickestSteps(ways | {"single operations": called}, engine.timings.setdefault(shape, Timings()), stopwatch)
