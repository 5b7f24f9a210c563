"""The stages of a search: the plan of each, its planner, and the step from one stage to the next."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeAlias

from foldstep.models.catalog.metrics import Direction
from foldstep.service.child import NO_LIMITS, Limits
from foldstep.service.contract.first_point import first_point
from foldstep.service.contract.leaderboard import BorderFinding
from foldstep.service.contract.methods import METHODS
from foldstep.service.contract.space import Frozen, Params
from foldstep.service.contract.spec import DEFAULT_TRIALS, Spec
from foldstep.service.contract.stage import StagePlan
from foldstep.service.contract.trial import TrialRecord
from foldstep.service.planner.base import IndexedPlanner, Planner
from foldstep.service.planner.batches import default_batch
from foldstep.service.planner.borders import report_borders
from foldstep.service.planner.child import propose_in_child
from foldstep.service.planner.coarse_to_fine import max_survivors
from foldstep.service.planner.evidence import Evidence
from foldstep.service.planner.grid import Grid
from foldstep.service.planner.learning import LearningPlanner
from foldstep.service.planner.load import load
from foldstep.service.planner.points import n_points
from foldstep.service.planner.random import n_distinct

History: TypeAlias = Sequence[TrialRecord]
NextStage: TypeAlias = Callable[[Spec, StagePlan, Evidence, Direction], tuple[StagePlan | None, list[BorderFinding]]]
"""Spec, finished stage, its evidence, direction of the metric → the next stage (None after the last), and borders."""


class StageEnd(Frozen):
    """The result of ending a stage.

    Attributes:
        findings: best values at the edge of a range, and what was done about each.
        next: the next stage; None after the last one.
    """

    findings: list[BorderFinding]
    next: StagePlan | None


def first_stage(spec: Spec, warm: Sequence[Params] = ()) -> StagePlan:
    """Plan the first stage of a search; the published settings of its preset come first, if the preset has some.

    Args:
        spec: the search; a preset is that of its task, once this is known.
        warm: configurations of its space that are trained next.
    """
    plan = _first_stage(spec)
    around = None if spec.data.task is None else first_point(spec, spec.data.task)
    published = [] if around is None else [around.params]
    return plan.model_copy(update={"survivors": [*published, *(params for params in warm if params not in published)]})


def _first_stage(spec: Spec) -> StagePlan:
    method = METHODS[spec.method]
    if method.is_staged:
        stage = spec.planned_stages()[0]
        return StagePlan(index=0, space=spec.space, trials=stage.trials, epochs=stage.epochs)
    trials = _single_stage_trials(spec)
    batch = (spec.batch or default_batch(spec.budget.trials or trials)) if method.learns else None
    return StagePlan(index=0, space=spec.space, trials=trials, batch=batch)


def make_planner(spec: Spec, plan: StagePlan, limits: Limits = NO_LIMITS) -> Planner:
    """Make the planner for a stage of a search; the spec's metric must be set.

    Args:
        spec: the search.
        plan: the stage.
        limits: what the child process of a learning method may take of the machine.
    """
    method = METHODS[spec.method]
    if method.planner is not None:
        planner: Callable[[StagePlan, int], IndexedPlanner] = load(method.planner)
        return planner(plan, spec.seed)
    assert spec.metric is not None
    propose = partial(propose_in_child, limits=limits)
    return LearningPlanner(plan, spec.seed, spec.method, spec.metric.direction, propose)


def end_stage(spec: Spec, finished: StagePlan, history: History, direction: Direction) -> StageEnd:
    """End a stage: find its borders, and plan the next stage if there is one.

    Args:
        spec: the search.
        finished: the stage that ended.
        history: trials of the search; only those of `finished` count.
        direction: whether higher or lower scores are better.
    """
    own = Evidence.of(record for record in history if record.stage == finished.index)
    method = METHODS[spec.method]
    if method.next_stage is not None and finished.index + 1 < len(spec.planned_stages()):
        next_stage: NextStage = load(method.next_stage)
        plan, findings = next_stage(spec, finished, own, direction)
        return StageEnd(findings=findings, next=plan)
    return StageEnd(findings=report_borders(finished.space, own, direction), next=None)


def n_continued(spec: Spec, stage: int) -> int:
    """Compute how many trials of a stage the next one continues at most."""
    following = spec.stages[stage + 1 : stage + 2]
    return sum(max_survivors(coming, spec.stages[stage].epochs) for coming in following if coming.continues)


def n_possible(spec: Spec) -> int | None:
    """Count the trials that a search's method and space allow; None for no limit."""
    method = METHODS[spec.method]
    if method.enumerates:
        return Grid(spec.space).n_points
    if method.redraws:
        return n_distinct(spec.space)
    return n_points(spec.space) if method.never_repeats else None


def _single_stage_trials(spec: Spec) -> int | None:
    """Compute the number of trials of a single-stage search; None for no limit, as with a time budget alone.

    A method that trains no configuration twice has at most as many trials as its space has points.
    """
    trials = spec.budget.trials
    if trials is None and spec.budget.time is None and not METHODS[spec.method].enumerates:
        trials = DEFAULT_TRIALS
    return _least(trials, n_possible(spec))


def _least(*limits: int | None) -> int | None:
    return min((limit for limit in limits if limit is not None), default=None)
