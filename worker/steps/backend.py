"""Make the steps of a pack, by the backend of its members."""

from __future__ import annotations

from foldstep.models.catalog.backends import Backend
from foldstep.worker.steps.agreement import Comparison, kinds_of
from foldstep.worker.steps.compiled import CompiledSteps
from foldstep.worker.steps.eager import EagerSteps
from foldstep.worker.steps.engine import Engine
from foldstep.worker.steps.fastest import FastestSteps, Timings, cuda_stopwatch, host_stopwatch
from foldstep.worker.steps.graphs import GraphSteps, recorder_of
from foldstep.worker.steps.parts import PackParts
from foldstep.worker.steps.protocol import FastSteps, Steps

PLAIN = "single operations"
"""Name of the plain way (the eager backend) in logs and timings."""


def steps_of(backend: Backend, parts: PackParts, eager: EagerSteps, engine: Engine) -> Steps:
    """Make the steps of a pack.

    Args:
        backend: the backend of its members.
        parts: the parts of the pack.
        eager: the eager steps of the same pack.
        engine: the device and its settings.
    """
    if backend == "compiled":
        return CompiledSteps(parts)
    ways = _kernels(parts) if backend == "fused" else {}
    record = (engine.recorder or recorder_of(engine.device)) if engine.may_capture else None
    if record is not None:
        ways["captured steps"] = GraphSteps(eager, record)
    return _fastest(ways, parts, eager, engine) if ways else eager


def _kernels(parts: PackParts) -> dict[str, FastSteps]:
    """Make the fused steps, by name, for each number of warps to try."""
    from foldstep.models.fused.launch import WARPS
    from foldstep.worker.steps.fused import FusedSteps

    return {f"a kernel of {n} warps": FusedSteps(parts, n) for n in WARPS}


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
