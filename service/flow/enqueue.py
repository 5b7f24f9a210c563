"""Use case: a user gives configurations that a search tries next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection

from foldstep.models.catalog.kinds import Value
from foldstep.service.contract.errors import Conflict, Fault, InvalidInput
from foldstep.service.contract.methods import METHODS
from foldstep.service.contract.space import Params, Space
from foldstep.service.contract.stage import EnqueuedTrial, StagePlan
from foldstep.service.contract.states import SearchState
from foldstep.service.contract.submit import Enqueue, EnqueuedAs, EnqueueReply
from foldstep.service.db import searches, stages, trials, untouched
from foldstep.service.db.searches import SearchRow
from foldstep.service.db.stages import StageRow
from foldstep.service.flow.context import Context
from foldstep.service.flow.extend import ELSEWHERE
from foldstep.service.flow.plan import store
from foldstep.service.planner.base import Proposals, trial_at
from foldstep.service.planner.given import point_key, read_point
from foldstep.service.planner.stages import make_planner


def enqueue(context: Context, search_id: str, sent: Enqueue) -> EnqueueReply:
    """Plan trials with these configurations, before all trials of the present stage that nobody has begun.

    A configuration that the stage has already is not trained again, so a request may be sent twice.

    Raises:
        NotFound: there is no such search.
        InvalidInput: a configuration is no point of the space.
        Conflict: the search has ended, or its budget has no room for so many.
    """
    with context.database.write() as connection:
        search = searches.lock(connection, search_id)
        if search.is_over:
            raise Conflict(_over(search))
        stage = stages.get(connection, search.id, search.stage)
        plan = StagePlan.model_validate(stage.plan)
        points = _points(sent.configurations, plan.space, _constants(search, plan))
        first = _first_index(connection, search, stage, plan)
        replied, new = _numbered(connection, search, plan, points, first)
        room = None if stage.n_trials is None else stage.n_trials - first
        if room is not None and len(new) > room:
            raise Conflict(_no_room(search, len(new), room))
        if new:
            _plan(context, connection, search, stage, plan, new)
            searches.add_notes(connection, search, [_note(plan, new)])
    n_known = len(points) - len(new)
    notes = [f"{n_known} of {len(points)} are trials of the search already; none is trained twice."] if n_known else []
    return EnqueueReply(search=search_id, trials=replied, notes=notes)


def _constants(search: SearchRow, plan: StagePlan) -> Mapping[str, Value]:
    """List what the search decides and its space does not: its seed, and in stages the epochs."""
    own: dict[str, Value] = {} if "seed" in plan.space.parameters else {"seed": search.spec.seed}
    return own if plan.epochs is None else {**own, "epochs": plan.epochs}


def _points(configurations: Sequence[Mapping[str, Any]], space: Space, constants: Mapping[str, Value]) -> list[Params]:
    """Read all configurations.

    Raises:
        InvalidInput: with every fault.
    """
    found: list[Params] = []
    faults: list[Fault] = []
    for place, given in enumerate(configurations):
        point, own = read_point(given, space, constants, f"configurations.{place}")
        faults += own
        if point is not None:
            found.append(point)
    if faults:
        noun = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
        raise InvalidInput(f"Nothing is enqueued, for the configurations have {noun}: {faults[0]}.", faults=faults)
    return found


def _first_index(connection: Connection, search: SearchRow, stage: StageRow, plan: StagePlan) -> int:
    """Find the first index that an enqueued trial may have: that of the first trial which nobody has begun.

    The batch of a method that learns stays together: what is enqueued comes after it.
    """
    if METHODS[search.spec.method].learns:
        return stage.n_planned
    waiting = untouched.first_untouched(connection, search.id, stage.stage)
    earliest = plan.taken[-1] + 1 if plan.taken else 0  # the user's own come in the order in which they were sent
    return stage.n_planned if waiting is None else max(waiting - plan.first_trial, earliest)


def _numbered(
    connection: Connection, search: SearchRow, plan: StagePlan, points: Sequence[Params], first: int
) -> tuple[list[EnqueuedAs], list[EnqueuedTrial]]:
    """Find the trial of each point; those that are new have the indices from `first` on."""
    space = plan.space
    history = trials.history(connection, search.id, plan.index)
    known = {point_key(record.params, space): record.number for record in reversed(history)}
    replied: list[EnqueuedAs] = []
    new: list[EnqueuedTrial] = []
    n_known = len(known)
    for point in points:
        number = known.setdefault(point_key(point, space), plan.first_trial + first + len(new))
        is_new = len(known) > n_known + len(new)
        if is_new:
            new.append(EnqueuedTrial(index=number - plan.first_trial, params=point))
        replied.append(EnqueuedAs(trial=number, params=point, is_new=is_new))
    return replied, new


def _plan(
    context: Context,
    connection: Connection,
    search: SearchRow,
    stage: StageRow,
    plan: StagePlan,
    new: Sequence[EnqueuedTrial],
) -> None:
    """Store the new trials, and those that waited already under the numbers that they have then."""
    larger = plan.model_copy(update={"enqueued": [*plan.enqueued, *new]})
    first, n_waiting = new[0].index, stage.n_planned - new[0].index
    planned = [trial_at(larger, search.spec.seed, trial.index, trial.params) for trial in new]
    if n_waiting:
        own = make_planner(search.spec, larger).suggest(first, max(n_waiting, len(new)), [])  # it does not learn
        planned += own.trials
    stages.set_plan(connection, stage, larger.model_dump(mode="json"))
    untouched.replace(connection, search.id, planned[:n_waiting])
    store(connection, search, stage, Proposals(planned[n_waiting:], exhausted=False), context.now())


def _note(plan: StagePlan, new: Sequence[EnqueuedTrial]) -> str:
    """Say in the notes of the search which trials were enqueued."""
    numbers = [plan.first_trial + trial.index for trial in new]
    which = f"Trial {numbers[0]} was" if len(new) == 1 else f"Trials {numbers[0]} to {numbers[-1]} were"
    return f"{which} enqueued by a user; the trials after that have later numbers than they would have had."


def _over(search: SearchRow) -> str:
    if search.state is SearchState.COMPLETED:
        return (
            f"The search {search.id} is completed, so nothing would train what is enqueued: extend it first "
            f"(`foldstep extend {search.id} --trials N`), or {ELSEWHERE.format(search.id)}."
        )
    return f"The search {search.id} is {search.state}, so nothing would train what is enqueued: " + (
        ELSEWHERE.format(search.id) + "."
    )


def _no_room(search: SearchRow, n_new: int, left: int) -> str:
    is_last = search.stage + 1 == search.n_stages
    way_out = f"extend it first (`foldstep extend {search.id} --trials {n_new - left}`)" if is_last else (
        f"wait for its next stage, or {ELSEWHERE.format(search.id)}"
    )  # fmt: skip
    new = "1 new configuration is" if n_new == 1 else f"{n_new} new configurations are"
    return (
        f"Nothing is enqueued: {new} more than the budget of {search.id} has room for, which is {left}, as the trials "
        f"that have begun count; send fewer, or {way_out}."
    )
