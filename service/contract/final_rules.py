"""Rules for what a spec wants of the final model: calibration, and a threshold between classes."""

from __future__ import annotations

from collections.abc import Iterator

from foldstep.models.catalog.metrics import METRICS
from foldstep.models.catalog.tasks import Task
from foldstep.service.contract.errors import Fault
from foldstep.service.contract.final_spec import FinalSpec, ThresholdSpec
from foldstep.service.contract.spec import Spec

BY_METRICS = [m.name for m in METRICS.values() if m.is_of_classes and not m.has_order]
"""The metrics that a threshold can be chosen for: those of predicted classes."""


def final_faults(spec: Spec) -> Iterator[Fault]:
    """Find the contradictions that do not depend on the data."""
    wanted = spec.final.threshold
    if wanted is not None:
        yield from _by_faults(wanted)
    if spec.data.task is not None:
        yield from _task_faults(spec.final, spec.data.task)
    yield from _ensemble_faults(spec.final)
    kind = spec.final.ensemble if spec.final.is_trained else None
    named = {"final.calibrate": spec.final.calibrate or None, "final.threshold": wanted, "final.ensemble": kind}
    if not spec.checkpoints.predictions or spec.checkpoints.limit == 0:
        expected = "checkpoints with out-of-fold predictions, on which it is chosen and scored"
        hint = "leave checkpoints.predictions and checkpoints.keep out"
        for path, value in named.items():
            if value is not None:
                yield Fault(code="contradiction", path=path, expected=expected, got="none are kept", hint=hint)


def _ensemble_faults(final: FinalSpec) -> Iterator[Fault]:
    """Find what does not go with an ensemble whose members are trained."""
    if not final.is_trained:
        return
    if final.refit is not None:
        expected = f"no refit with ensemble: {final.ensemble}, whose networks are those of the folds"
        hint = "leave one of the two out; refit: {seeds: 5} with ensemble: none is 5 seeds of the best trial"
        yield Fault(code="contradiction", path="final.refit", expected=expected, got="refit", hint=hint)
    if final.ensemble == "averages" and final.members is not None:
        expected = "no members with ensemble: averages, which is one network for each fold"
        yield Fault(code="contradiction", path="final.members", expected=expected, got=str(final.members))
    elif final.members == 1:
        expected = f"2 members or more with ensemble: {final.ensemble}"
        hint = "write ensemble: none for the best trial alone"
        yield Fault(code="contradiction", path="final.members", expected=expected, got="1", hint=hint)


def _by_faults(wanted: ThresholdSpec) -> Iterator[Fault]:
    given = [name for name in ("metric", "cost") if getattr(wanted, name) is not None]
    if len(given) != 1:
        got = " and ".join(given) or None
        yield Fault(code="contradiction", path="final.threshold", expected="one of metric or cost", got=got)
    if wanted.metric is not None and wanted.metric not in BY_METRICS:
        expected = f"a metric of predicted classes: {', '.join(BY_METRICS)}"
        yield Fault(code="contradiction", path="final.threshold.metric", expected=expected, got=wanted.metric)


def _task_faults(final: FinalSpec, task: Task) -> Iterator[Fault]:
    if task == "classification":
        return
    if final.calibrate:
        expected = f"no calibrate with {task}: it is for the probabilities of one target's classes"
        yield Fault(code="contradiction", path="final.calibrate", expected=expected, got="true")
    if final.threshold is not None:
        expected = f"no threshold with {task}: it is between two classes of one target"
        yield Fault(code="contradiction", path="final.threshold", expected=expected, got=final.threshold.by)


def threshold_faults(final: FinalSpec, task: Task, n_classes: int) -> Iterator[Fault]:
    """Find what does not fit the target: its task, where the spec does not name it, and the number of its classes."""
    yield from _task_faults(final, task)
    if task == "classification" and final.threshold is not None and n_classes > 2:
        yield Fault(
            code="contradiction",
            path="final.threshold",
            expected="two classes, between which a threshold is",
            got=f"{n_classes}",
            hint="leave it out: the most probable class is predicted; --proba gives all probabilities",
        )
