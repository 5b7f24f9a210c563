"""Which stages a search has, which planner each gets, and what happens between two of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from foldstep.service.contract.leaderboard import BorderFinding
from foldstep.service.contract.space import Frozen, Params
from foldstep.service.contract.spec import DEFAULT_TRIALS, LEARNING, Direction, Method, Spec
from foldstep.service.contract.stage import StagePlan
from foldstep.service.contract.trial import TrialRecord
from foldstep.service.planner.base import IndexedPlanner, Planner
from foldstep.service.planner.batches import default_batch
from foldstep.service.planner.borders import report_borders
from foldstep.service.planner.child import propose_in_child
from foldstep.service.planner.coarse_to_fine import max_survivors, next_stage
from foldstep.service.planner.grid import Grid, GridPlanner
from foldstep.service.planner.learning import LearningPlanner
from foldstep.service.planner.points import n_points
from foldstep.service.planner.random import RandomPlanner
from foldstep.service.planner.sobol import SobolPlanner

_INDEXED: dict[Method, Callable[[StagePlan, int], IndexedPlanner]] = {
    "grid": GridPlanner,
    "random": RandomPlanner,
    "sobol": SobolPlanner,
    "coarse_to_fine": RandomPlanner,
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
    trials = _single_stage_trials(spec)
    batch = (spec.batch or default_batch(spec.budget.trials or trials)) if spec.method in LEARNING else None
    return StagePlan(index=0, space=spec.space, trials=trials, batch=batch)


def make_planner(spec: Spec, plan: StagePlan) -> Planner:
    """The planner for a stage of a search, whose metric is known."""
    if spec.method not in LEARNING:
        return _INDEXED[spec.method](plan, spec.seed)
    assert spec.metric is not None
    return LearningPlanner(plan, spec.seed, spec.method, spec.metric.direction, propose_in_child)


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


def n_continued(spec: Spec, stage: int) -> int:
    """How many trials of a stage the next one continues at most."""
    following = spec.stages[stage + 1 : stage + 2]
    return sum(max_survivors(coming, spec.stages[stage].epochs) for coming in following if coming.continues)


def n_possible(spec: Spec) -> int | None:
    """How many trials its space can give; None for no limit."""
    if spec.method == "grid":
        return Grid(spec.space).n_points
    return n_points(spec.space) if spec.method in LEARNING else None


def _single_stage_trials(spec: Spec) -> int | None:
    """The budget's trials; only a time budget alone leaves the number open.

    A method that trains no configuration twice has at most the points of its space.
    """
    trials = spec.budget.trials
    if spec.method == "grid":
        return _least(trials, Grid(spec.space).n_points)
    if trials is None and spec.budget.time is None:
        trials = DEFAULT_TRIALS
    return _least(trials, n_points(spec.space)) if spec.method in LEARNING else trials


def _least(*limits: int | None) -> int | None:
    return min((limit for limit in limits if limit is not None), default=None)
