"""Use cases: validate a spec as a whole against its data, and store it as a search."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from typing import Any

from foldstep.service.contract.dataset import DatasetDescription
from foldstep.service.contract.errors import Ambiguous, Fault, KeyReused, NotFound, SpecInvalid
from foldstep.service.contract.expansion import preset_notes
from foldstep.service.contract.features import features_of
from foldstep.service.contract.first_point import first_point_notes
from foldstep.service.contract.idle import idle_notes
from foldstep.service.contract.leaderboard import SearchView
from foldstep.service.contract.methods import METHODS
from foldstep.service.contract.names import listed
from foldstep.service.contract.parse import parse_spec
from foldstep.service.contract.problem import LearningProblem
from foldstep.service.contract.rules import range_notes
from foldstep.service.contract.size import NetworkSizes
from foldstep.service.contract.spec import Spec
from foldstep.service.contract.stage import StagePlan
from foldstep.service.contract.states import SearchState
from foldstep.service.contract.submit import Validated
from foldstep.service.contract.written import written
from foldstep.service.data.allowance import limits_for, machine_bytes
from foldstep.service.data.child import resolve_in_child
from foldstep.service.db import searches, trials
from foldstep.service.db.searches import KeyTaken, SearchRow
from foldstep.service.flow import view
from foldstep.service.flow.context import Context
from foldstep.service.flow.dataset import described
from foldstep.service.flow.identify import identify
from foldstep.service.flow.plan import add_stage
from foldstep.service.flow.transfer import canonical_file
from foldstep.service.planner.stages import first_stage
from foldstep.service.planner.warm import MOST_LOOKED_AT, GivenStart, given_start, warm_configurations


@dataclass(frozen=True)
class Submission:
    """A spec that fits its data; what it left out is filled in.

    Attributes:
        first: the stage that the search starts with.
    """

    spec: Spec
    problem: LearningProblem
    notes: list[str]
    first: StagePlan

    @property
    def n_stages(self) -> int:
        """How many stages the search has."""
        return len(self.spec.planned_stages()) if METHODS[self.spec.method].is_staged else 1

    @property
    def n_trials(self) -> int | None:
        """How many trials the search will have; None for no limit."""
        if self.n_stages > 1:
            return sum(stage.trials for stage in self.spec.planned_stages())
        return self.first.trials


def validate(context: Context, raw: Any) -> Validated:
    """Check a spec without storing anything but its data.

    Raises:
        SpecInvalid: with every fault of the spec; where it has none, with every fault against the data.
        PathNotAllowed: the data file is outside the allowed roots.
        DatasetUnreadable: the file is not a table.
    """
    resolved = _resolve(context, raw)
    spec = written(resolved.spec, trials=resolved.n_trials)
    return Validated(problem=resolved.problem, trials=resolved.n_trials, notes=resolved.notes, spec=spec)


def submit(context: Context, raw: Any, key: str | None = None) -> SearchView:
    """Store a search; its first trials are planned when a worker asks.

    Args:
        context: of the master.
        raw: the spec as the user wrote it.
        key: the same one again gets the same search, so that a client may repeat a request whose answer was lost.

    Raises:
        KeyReused: another spec was submitted under the key.
        SpecInvalid: with every fault of the spec; where it has none, with every fault against the data.
        PathNotAllowed: the data file is outside the allowed roots.
        DatasetUnreadable: the file is not a table.
    """
    search_id = _submitted(context, raw, key)
    if search_id is None:
        search_id = store(context, _resolve(context, raw), raw, key)
    return view.search(context, search_id)


def _submitted(context: Context, raw: Any, key: str | None) -> str | None:
    """Find the search that was submitted under a key before; None if none was."""
    if key is None:
        return None
    with context.database.read() as connection:
        found = searches.submitted_under(connection, key)
    if found is None:
        return None
    search_id, before = found
    if json.loads(json.dumps(raw)) != before:
        raise KeyReused(
            f"Another spec was submitted under the Idempotency-Key {key}, as the search {search_id}; "
            "send a new key with each submission."
        )
    return search_id


def store(context: Context, submission: Submission, raw: Any, key: str | None = None) -> str:
    """Insert a search and its first stage, and return its id; that of the search that has the key, if one has."""
    row = _row(context, submission)
    try:
        _insert(context, row, submission, raw, key)
    except KeyTaken:  # by the same request, which was still being answered
        return _submitted(context, raw, key) or store(context, submission, raw, key)
    return row.id


def _insert(context: Context, row: SearchRow, submission: Submission, raw: Any, key: str | None) -> None:
    with context.database.write() as connection:
        searches.add(connection, row, raw, key)
        add_stage(connection, row.id, submission.first, row.created_at)


def _resolve(context: Context, raw: Any) -> Submission:
    spec = parse_spec(raw)
    description = described(context, spec.data)
    file = canonical_file(context, description.fingerprint)
    found = resolve_in_child(spec, description, file, limits=limits_for(context.settings, file))
    resolved = _with_whole_id(context, found.spec)
    faults = _size_faults(context, resolved, found.problem, description)
    if faults:
        raise SpecInvalid(faults)
    notes = [_facts(description, found.problem), *found.notes, *range_notes(resolved.space)]
    task = found.problem.task
    if "parameters" not in spec.left_out:  # of the default space it is said already how to see all of it
        notes += preset_notes(resolved, task)
    warm = _warm_start(context, resolved)
    notes += [*first_point_notes(resolved, task), *idle_notes(resolved, task), *warm.notes]
    return Submission(resolved, found.problem, notes, first_stage(resolved, warm.params))


def _size_faults(
    context: Context, spec: Spec, problem: LearningProblem, description: DatasetDescription
) -> list[Fault]:
    """Find a network that no device holds; nothing where an earlier version read the data and counted no outputs."""
    if problem.n_outputs is None:
        return []
    named = set(features_of(description, problem.data, problem.cv))
    features = [column for column in description.columns if column.name in named]
    most = context.settings.network_bytes or machine_bytes()
    return list(NetworkSizes(features, problem.n_outputs, description.n_rows).faults(spec.space, most))


def _facts(description: DatasetDescription, problem: LearningProblem) -> str:
    """Say which data a search is about, so that a user sees whether they are the right ones."""
    name = problem.data.dataset
    shown = name if name == description.source else f"{name} (from {description.source})"
    targets = problem.data.targets
    target = f"target {targets[0]}" if len(targets) == 1 else f"{len(targets)} targets ({listed(targets)})"
    return (
        f"Data: {shown}: {description.n_rows:,} rows, {len(description.columns)} columns, {target}, "
        f"fingerprint {description.fingerprint[:12]}."
    )


def _warm_start(context: Context, spec: Spec) -> GivenStart:
    """Choose the best configurations of another search, or of those that are given, that lie in the space.

    Raises:
        SpecInvalid: one that is given has a name or a value that no space has.
    """
    if spec.warm_start is None:
        return GivenStart()
    n_first = first_stage(spec).trials
    if not isinstance(spec.warm_start, str):
        found = given_start(spec.warm_start, spec, n_trials=n_first)
        if found.faults:
            raise SpecInvalid(found.faults)
        return found
    with context.database.read() as connection:
        ranked = trials.best(connection, spec.warm_start, MOST_LOOKED_AT)
    return GivenStart(warm_configurations(ranked, spec, n_trials=n_first))


def _with_whole_id(context: Context, spec: Spec) -> Spec:
    """Write the id of the search that `warm_start` names into a spec.

    Raises:
        SpecInvalid: it names none, or several.
    """
    if not isinstance(spec.warm_start, str):
        return spec
    try:
        return spec.model_copy(update={"warm_start": identify(context, spec.warm_start)})
    except (NotFound, Ambiguous) as error:
        code = "unknown_search" if isinstance(error, NotFound) else error.code
        expected = "the id or the name of one search"
        fault = Fault(code=code, path="warm_start", expected=expected, got=spec.warm_start, hint=error.message[:-1])
        raise SpecInvalid([fault]) from None


def _row(context: Context, submission: Submission) -> SearchRow:
    spec = submission.spec
    return SearchRow(
        id=f"{spec.name}-{secrets.token_hex(3)}",
        name=spec.name,
        state=SearchState.QUEUED,
        spec=spec,
        problem=submission.problem,
        notes=submission.notes,
        failure=None,
        stage=0,
        n_stages=submission.n_stages,
        created_at=context.now(),
        started_at=None,
        paused_at=None,
        deadline_at=None,
        finished_at=None,
    )
