"""Which stages a search has, which planner each gets, and what happens between two of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from service.contract.leaderboard import BorderFinding
from service.contract.space import Frozen, Params
from service.contract.spec import DEFAULT_TRIALS, Direction, Method, Spec
from service.contract.stage import StagePlan
from service.contract.trial import TrialRecord
from service.planner.base import Planner
from service.planner.borders import report_borders
from service.planner.coarse_to_fine import CoarseToFinePlanner, next_stage
from service.planner.grid import Grid, GridPlanner
from service.planner.random import RandomPlanner
from service.planner.sobol import SobolPlanner

_PLANNERS: dict[Method, Callable[[StagePlan, int], Planner]] = {
    "grid": GridPlanner,
    "random": RandomPlanner,
    "sobol": SobolPlanner,
    "coarse_to_fine": CoarseToFinePlanner,
}
History: TypeAlias = Sequence[TrialRecord]


class StageEnd(Frozen):
    """What the end of a stage brings.

    Attributes:
        findings: best values at the edge of a range, and what was done about them.
        next: the stage to come; None after the last one.
    """

    findings: list[BorderFinding]
    next: StagePlan | None


def first_stage(spec: Spec, warm: Sequence[Params] = ()) -> StagePlan:
    """The stage that a search starts with.

    Args:
        spec: the search.
        warm: configurations of its space that it trains first.
    """
    plan = _first_stage(spec)
    return plan.model_copy(update={"survivors": list(warm)})


def _first_stage(spec: Spec) -> StagePlan:
    if spec.method == "coarse_to_fine":
        stage = spec.planned_stages()[0]
        return StagePlan(index=0, space=spec.space, trials=stage.trials, epochs=stage.epochs)
    return StagePlan(index=0, space=spec.space, trials=_single_stage_trials(spec))


def make_planner(spec: Spec, plan: StagePlan) -> Planner:
    """The planner for a stage of a search."""
    return _PLANNERS[spec.method](plan, spec.seed)


def end_stage(spec: Spec, finished: StagePlan, history: History, direction: Direction) -> StageEnd:
    """Look at a finished stage: name the borders, and plan the next stage where there is one.

    Args:
        spec: the search.
        finished: the stage that ended.
        history: trials of the search; only those of `finished` count.
        direction: whether more or less is better.
    """
    own = [record for record in history if record.stage == finished.index]
    if spec.method == "coarse_to_fine" and finished.index + 1 < len(spec.planned_stages()):
        plan, findings = next_stage(spec, finished, own, direction)
        return StageEnd(findings=findings, next=plan)
    return StageEnd(findings=report_borders(finished.space, own, direction), next=None)


def n_possible(spec: Spec) -> int | None:
    """How many trials its space can give; None for no limit."""
    return Grid(spec.space).n_points if spec.method == "grid" else None


def _single_stage_trials(spec: Spec) -> int | None:
    """The budget's trials; a grid has at most its points, and only a time budget alone leaves the number open."""
    trials = spec.budget.trials
    if spec.method == "grid":
        n_points = Grid(spec.space).n_points
        return n_points if trials is None else min(trials, n_points)
    if trials is None and spec.budget.time is None:
        return DEFAULT_TRIALS
    return trials
