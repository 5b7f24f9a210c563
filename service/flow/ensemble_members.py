"""Find the members of an ensemble that a search trains which follows (`final.ensemble`), or why there are none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection

from foldstep.service.analysis.ensemble import Candidate, Given
from foldstep.service.contract.final import ENSEMBLE
from foldstep.service.contract.final_spec import Kind
from foldstep.service.contract.stage import StagePlan
from foldstep.service.contract.states import TERMINAL_SEARCH, SearchState
from foldstep.service.db import counts, ranking, scores, searches, stages
from foldstep.service.db.ranking import TrialRow
from foldstep.service.db.searches import SearchRow
from foldstep.service.flow import files
from foldstep.service.flow.context import Context
from foldstep.service.planner.members import has_average


class Members(NamedTuple):
    """What predicts beside the best trial, or instead of it.

    Attributes:
        trials: of the search that follows; none where the best trial predicts alone.
        given: what is said of them.
    """

    trials: list[Candidate]
    given: Given


def trained_members(connection: Connection, context: Context, first: SearchRow) -> Members | None:
    """Find the members that were trained for the ensemble of a search; None where its members are chosen."""
    best = next(iter(ranking.scored(connection, first.id, None, 1)), None)
    if not first.spec.final.is_trained or best is None:
        return None
    row = next((r for r in searches.followers(connection, first.id) if r.purpose == ENSEMBLE), None)
    if row is None:
        return _alone(first, *_why_none(first, best))
    if row.state is not SearchState.COMPLETED:
        return _alone(first, f"its ensemble {row.id} is {row.state}", row.state not in TERMINAL_SEARCH)
    plan = StagePlan.model_validate(stages.get(connection, row.id, 0).plan)
    if best.number not in (plan.refits or {}):
        return _alone(first, f"its ensemble {row.id} is of another trial than the one that is the best by now")
    return _of_completed(connection, context, first, row, best)


def _alone(first: SearchRow, why: str, is_coming: bool = False) -> Members:
    notes = [f"The best trial predicts alone, since {why}."]
    given = Given(kind=first.spec.final.ensemble, why_alone=why, is_coming=is_coming, notes=notes)
    return Members([], given)


def _why_none(first: SearchRow, best: TrialRow) -> tuple[str, bool]:
    """Say why no search trained the ensemble, and whether one will."""
    if first.state not in TERMINAL_SEARCH:
        return "its ensemble is trained after its end", True
    if first.state is not SearchState.COMPLETED:
        return f"it is {first.state}, and an ensemble is trained only for a search that is completed", False
    if first.spec.final.ensemble == "averages" and has_average(best.params):
        return "its networks are running averages already (ema_decay or swa_start), so nothing was trained", False
    return "the search that trained its ensemble was deleted", False


def _of_completed(
    connection: Connection, context: Context, first: SearchRow, row: SearchRow, best: TrialRow
) -> Members:
    n = sum(counts.by_state(connection, row.id).values())
    ranked = sorted(ranking.scored(connection, row.id, None, n), key=lambda trial: trial.number)
    trials = [c.model_copy(update={"search": row.id}) for c in whole_trials(connection, context, row, ranked)]
    if not trials:
        return _alone(first, f"no trial of its ensemble {row.id} has networks")
    notes = []
    if n > len(trials):
        have = "1 trial has" if n - len(trials) == 1 else f"{n - len(trials)} trials have"
        notes.append(f"{have} no networks in {row.id}, as where one diverged, and no part in the ensemble.")
    kind = first.spec.final.ensemble
    words = _words(kind, len(trials), best.number)
    given = Given(kind=kind, words=words, has_best=kind == "seeds", notes=notes)
    return Members(trials, given)


def _words(kind: Kind, n: int, best: int) -> str:
    if kind == "seeds":
        return f"trial {best} and its configuration with {n} other {'seed' if n == 1 else 'seeds'}"
    if kind == "checkpoints":
        networks = "1 checkpoint" if n == 1 else f"{n} checkpoints"
        return f"{networks} of one run with the configuration of trial {best}"
    return f"running averages of the weights with the configuration of trial {best}"


def whole_trials(
    connection: Connection, context: Context, search: SearchRow, rows: Sequence[TrialRow]
) -> list[Candidate]:
    """List those of some trials of a search that have a checkpoint of every fold, in the order given."""
    folder = str(files.checkpoint_folder(context.settings, search.id))
    folds = scores.of_trials(connection, [(search.id, row.number) for row in rows])
    named = {row.number: [fold.checkpoint for fold in folds[search.id, row.number]] for row in rows}
    whole = {number: [n for n in names if n is not None] for number, names in named.items()}
    return [
        Candidate(trial=number, folder=folder, checkpoints=names)
        for number, names in whole.items()
        if len(names) == search.problem.n_folds
    ]
