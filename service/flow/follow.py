"""Use case: when a search is completed, begin the next of the searches that are to follow it, one at a time.

`final.ensemble` trains the members of an ensemble that is not chosen among the trials (`planner/members.py`).
`final.refit` trains the trials that predict again on more of the rows; `flow/refit.py` chooses them, which takes too
long for the transaction here. `final.reseed` trains its best trials again with other seeds. `cv.outer` searches again
without one part of the rows, once for each part, so that each is predicted by a search that has not seen it. They come
one after another, since each has the time budget of the first, and workers share their time among the searches that are
open. A part of `cv.outer` is refitted itself, before the next one begins.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from datetime import datetime

from sqlalchemy import Connection

from foldstep.models.catalog.kinds import Value
from foldstep.service.contract.final import ENSEMBLE, OUTER, REFIT, RESEED
from foldstep.service.contract.refit import refit_cv
from foldstep.service.contract.space import Choices, Distribution, Fixed, Params, Space
from foldstep.service.contract.spec import BudgetSpec, CheckpointSpec, ChecksSpec, MetricSpec, OuterFold, Spec
from foldstep.service.contract.stage import StagePlan
from foldstep.service.contract.states import SearchState
from foldstep.service.contract.written import written
from foldstep.service.db import ranking, searches, trials
from foldstep.service.db.searches import SearchRow
from foldstep.service.flow.plan import add_stage
from foldstep.service.planner.members import trained, unused
from foldstep.service.planner.stages import first_stage

_LOOKED_AT = 20
"""Times as many of the best trials as are trained again are looked at, since some may differ in the seed alone."""
_NAME = 50  # characters of a name that the names of its followers begin with


def purposes(spec: Spec) -> list[str]:
    """List what searches are to follow one, in their order."""
    final = spec.final
    named = {ENSEMBLE: final.is_trained, REFIT: final.refit is not None, RESEED: final.reseed is not None}
    asked = [purpose for purpose, is_asked in named.items() if is_asked]
    return [*asked, *(f"{OUTER}{fold + 1}" for fold in range(spec.cv.outer or 0))]


def follow(connection: Connection, search: SearchRow, now: datetime) -> None:
    """Begin the search that is to follow one that has ended, if one is left: after this one, or what it follows."""
    last: SearchRow | None = search
    while last is not None:
        if last.state is SearchState.COMPLETED and _begin_next(connection, last, now):
            return
        last = None if last.follows is None else searches.find(connection, last.follows)


def _begin_next(connection: Connection, first: SearchRow, now: datetime) -> bool:
    """Begin the next search that is to follow a completed one; tell whether one was left with something to train."""
    begun = {row.purpose for row in searches.followers(connection, first.id)}
    return any(purpose not in begun and _begin(connection, first, purpose, now) for purpose in purposes(first.spec))


def _begin(connection: Connection, first: SearchRow, purpose: str, now: datetime) -> bool:
    """Begin one search; tell whether there was something to train."""
    if purpose == ENSEMBLE:
        return _begin_ensemble(connection, first, now)
    if purpose == REFIT:
        return _begin_refit(connection, first, now)
    if purpose == RESEED:
        return _begin_reseed(connection, first, now)
    fold = OuterFold(fold=int(purpose.removeprefix(OUTER)) - 1, of=first.spec.cv.outer or 0)
    final = first.spec.final.model_copy(update={"reseed": None})  # ensemble and refit are parts of the procedure, too
    spec = _named(first, purpose, data=first.spec.data.model_copy(update={"test": fold}), final=final)
    _add(connection, first, purpose, spec, first_stage(spec), now)
    return True


def _begin_ensemble(connection: Connection, first: SearchRow, now: datetime) -> bool:
    """Begin the search that trains the best trial's configuration for an ensemble."""
    best = next(iter(ranking.scored(connection, first.id, None, 1)), None)
    members = None if best is None else trained(first.spec.final, best.params, best.epochs, first.spec.seed)
    if best is None or members is None:
        return False
    spec = of_configurations(_alone(first, ENSEMBLE, checkpoints=CheckpointSpec(keep="all")), members.configurations)
    plan = plan_of(spec, members.configurations)
    if members.stages:
        budget = BudgetSpec(trials=len(members.stages))
        changes = {"method": "coarse_to_fine", "stages": members.stages, "budget": budget}
        spec = spec.model_copy(update=changes)
        plan = first_stage(spec)
    _add(connection, first, ENSEMBLE, spec, plan.model_copy(update={"refits": {best.number: 0}}), now)
    return True


def _begin_refit(connection: Connection, first: SearchRow, now: datetime) -> bool:
    """Begin a search whose trials are not known yet."""
    if not trials.nth_best(connection, first.id, 1):
        return False
    refit = first.spec.final.refit
    assert refit is not None
    checkpoints = CheckpointSpec(keep="all", predictions=first.spec.checkpoints.predictions)
    spec = _alone(first, REFIT, cv=refit_cv(first.spec.cv, refit), checkpoints=checkpoints)
    _add(connection, first, REFIT, spec, StagePlan(index=0, space=spec.space, trials=None), now)
    return True


def _begin_reseed(connection: Connection, first: SearchRow, now: datetime) -> bool:
    configurations = list(_other_seeds(connection, first))
    if not configurations:
        return False
    spec = of_configurations(_alone(first, RESEED), configurations)
    _add(connection, first, RESEED, spec, plan_of(spec, configurations), now)
    return True


def of_configurations(spec: Spec, configurations: Sequence[Params]) -> Spec:
    """Copy a spec with a space of some configurations, and as many trials."""
    budget = BudgetSpec(trials=len(configurations))
    return spec.model_copy(update={"space": _around(configurations), "budget": budget})


def plan_of(spec: Spec, configurations: Sequence[Params]) -> StagePlan:
    """Plan the only stage of a search that trains some configurations."""
    return StagePlan(index=0, space=spec.space, trials=len(configurations), survivors=list(configurations))


def _alone(first: SearchRow, purpose: str, **changes: object) -> Spec:
    """Copy the spec of a search for one that trains given configurations, each to its end."""
    return _named(
        first, purpose, method="random", stages=[], early_stop=None, preset=None, budget=BudgetSpec(),
        metric=MetricSpec(name=first.metric.name), batch=None, **changes,
    )  # fmt: skip


def _named(first: SearchRow, purpose: str, **changes: object) -> Spec:
    """Copy the spec of a search without what follows it, what is done before it, and what it begins with."""
    without = {
        "name": f"{first.name[:_NAME]}-{purpose}",
        "cv": first.spec.cv.model_copy(update={"outer": None}),
        "final": first.spec.final.model_copy(update={"refit": None, "reseed": None, **_without_training(first.spec)}),
        "checks": ChecksSpec(),
        "warm_start": None,  # the search that it names may have seen the rows that are held out
    }
    return first.spec.model_copy(update={**without, **changes})


def _without_training(spec: Spec) -> dict[str, object]:
    return {"ensemble": "none", "members": None} if spec.final.is_trained else {}


def _other_seeds(connection: Connection, first: SearchRow) -> Iterator[Params]:
    """List the best configurations of a search, each with seeds that none of them was trained with."""
    reseed = first.spec.final.reseed
    assert reseed is not None
    ranked = trials.best(connection, first.id, reseed.top * _LOOKED_AT)
    best = _without_seeds(ranked)[: reseed.top]
    used = {params.get("seed", first.spec.seed) for params in ranked}
    seeds = unused(first.spec.seed, used, reseed.seeds)
    yield from ({**params, "seed": seed} for params in best for seed in seeds)


def _without_seeds(ranked: Sequence[Params]) -> list[Params]:
    found: list[Params] = []
    for params in ranked:
        free = without_seed(params)
        if free not in found:
            found.append(free)
    return found


def without_seed(params: Params) -> Params:
    """Copy hyperparameters without the seed: what is the same in trials that differ by chance alone."""
    return {name: value for name, value in params.items() if name != "seed"}


def _around(configurations: Sequence[Params]) -> Space:
    """Make a space of the values that configurations have."""
    names = list(dict.fromkeys(name for params in configurations for name in params))
    return Space(parameters={name: _values(name, configurations) for name in names})


def _values(name: str, configurations: Sequence[Params]) -> Distribution:
    values: list[Value] = []
    for params in configurations:
        if name in params and params[name] not in values:
            values.append(params[name])
    return Fixed(value=values[0]) if len(values) == 1 else Choices(choices=values)


def _add(connection: Connection, first: SearchRow, purpose: str, spec: Spec, plan: StagePlan, now: datetime) -> None:
    problem = first.problem.model_copy(
        update={
            "data": spec.data, "cv": spec.cv, "metric": spec.metric,
            "n_folds": spec.cv.repeats if purpose == REFIT else first.problem.n_folds,
            # of other validation rows the score of the constant answer is not computed
            "baseline": first.problem.baseline if purpose in (ENSEMBLE, RESEED) else None,
        }
    )  # fmt: skip
    row = SearchRow(
        id=f"{spec.name}-{secrets.token_hex(3)}", name=spec.name, state=SearchState.QUEUED, spec=spec, problem=problem,
        notes=[f"It follows {first.id}: {_WHY[purpose.rstrip('0123456789')]}"], failure=None, stage=0,
        n_stages=_n_stages(first, purpose, spec), created_at=now, started_at=None, paused_at=None,
        deadline_at=None, finished_at=None, follows=first.id, purpose=purpose,
    )  # fmt: skip
    searches.add(connection, row, written(spec, trials=plan.trials))
    add_stage(connection, row.id, plan, now)


def _n_stages(first: SearchRow, purpose: str, spec: Spec) -> int:
    return max(1, len(spec.stages)) if purpose in (ENSEMBLE, REFIT, RESEED) else first.n_stages


_WHY = {
    ENSEMBLE: "the configuration of its best trial is trained again for an ensemble, which predicts then.",
    REFIT: "the trials that predict for it are trained again on more of the rows, and predict then.",
    RESEED: "its best configurations are trained again with other seeds, which says how much of their score was luck.",
    OUTER: "the same search without a part of the rows, on which its final model is then scored.",
}
