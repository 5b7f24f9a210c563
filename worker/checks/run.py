"""Run all checks in their order, and make the report."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from foldstep.service.contract.checks import CheckReport, CheckResult
from foldstep.service.contract.problem import LearningProblem
from foldstep.service.contract.space import Params
from foldstep.worker.checks.gradients import gradients
from foldstep.worker.checks.initial_loss import initial_loss
from foldstep.worker.checks.labels import labels
from foldstep.worker.checks.overfit import overfit
from foldstep.worker.checks.regularisation import regularisation
from foldstep.worker.checks.setting import CheckSetting
from foldstep.worker.data.inputs import FoldSource

CHECKS: dict[str, Callable[[CheckSetting], CheckResult]] = {
    "initial_loss": initial_loss,
    "regularisation": regularisation,
    "overfit": overfit,
    "gradients": gradients,
    "labels": labels,
}
"""By name, in the order of the report."""
THROWN = (RuntimeError, MemoryError, ValueError, ArithmeticError)
"""Errors of training that end as a failed check (as they end as failed trials), and do not crash the worker."""


def run_checks(source: FoldSource, problem: LearningProblem, candidates: Sequence[Params]) -> CheckReport:
    """Run every check; one kind of CPU gives the same report for the same spec and data, except for its duration.

    Args:
        source: the search's data.
        problem: of the search.
        candidates: draws from its space, as `service.planner.candidates` makes them.
    """
    begun = time.monotonic()
    try:
        setting = CheckSetting.of(source, candidates, problem.task, problem.seed)
    except THROWN as error:
        results = [_thrown("data", error)]
    else:
        results = [_run(name, check, setting) for name, check in CHECKS.items()]
    return CheckReport(results=results, duration_s=time.monotonic() - begun)


def not_run(name: str, reason: str, look_at: str) -> CheckReport:
    """Build the report for checks that could not be run at all."""
    return CheckReport(
        results=[CheckResult(name=name, outcome="failed", sentence=reason, look_at=look_at)], duration_s=0.0
    )


def _run(name: str, check: Callable[[CheckSetting], CheckResult], setting: CheckSetting) -> CheckResult:
    try:
        return check(setting)
    except THROWN as error:
        return _thrown(name, error)


def _thrown(name: str, error: Exception) -> CheckResult:
    reason = str(error).splitlines()[0] if str(error) else "no message"
    return CheckResult(
        name=name,
        outcome="failed",
        sentence=f"The check could not be run: {type(error).__name__}: {reason}.",
        look_at="Look at the sizes in the space first; else this is a fault of the program, so please report it.",
    )
