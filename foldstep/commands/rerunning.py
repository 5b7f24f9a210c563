"""`rerun`: trains one trial again and says whether the same comes out."""

from __future__ import annotations

import math
from typing import Annotated, Any

import typer
from rich.table import Table

from foldstep import display
from foldstep.client import Foldstep
from foldstep.connect import DEFAULT_DIR, connect, find_token
from foldstep.options import Dir, Json, SearchId, Token, Url, out, print_json, quiet_exit
from service.contract.connection import Connection
from service.contract.errors import Conflict
from service.contract.leaderboard import TrialCurves, TrialView
from service.contract.lease import LeasedTrial, SearchContext
from service.contract.parse import parse_spec
from service.contract.report import TrialResult
from service.contract.states import TrialState

DIFFERENT = 3
_TRAINED = (TrialState.COMPLETED, TrialState.DIVERGED, TrialState.PRUNED)


def rerun(
    search: SearchId,
    trial: Annotated[int, typer.Argument(metavar="TRIAL", help="Number of a finished trial.")],
    url: Url = None,
    token: Token = None,
    data_dir: Dir = DEFAULT_DIR,
    as_json: Json = False,
) -> None:
    """Train one trial again, alone, on this machine's CPU; exit code 3 where not the same bits come out."""
    from worker.client import MasterClient
    from worker.rerun import rerun as train
    from worker.settings import default_cache_dir

    master = connect(url, token, data_dir)
    stored = trained(master, search, trial)
    worker = MasterClient(Connection(master.url, find_token(token, data_dir)))
    curves = master.curves(search, trial)
    again = as_far_as(stored, legs_of(master, search, stored))
    result = train(worker, context_of(master, search), again, default_cache_dir())
    is_same = same_bits(result, stored, curves)
    if as_json:
        print_json(_as_record(result, stored, is_same=is_same))
    else:
        _print(result, stored, is_same=is_same)
    quiet_exit(0 if is_same else DIFFERENT)


def trained(master: Foldstep, search: str, trial: int) -> TrialView:
    """A trial that was trained to its end.

    Raises:
        Conflict: it was not, so there is nothing to train again.
    """
    stored = master.trial(search, trial)
    if stored.state not in _TRAINED:
        raise Conflict(f"Trial {trial} of {search} is {stored.state}; only a trial that was trained can be compared.")
    return stored


def legs_of(master: Foldstep, search: str, stored: TrialView) -> list[int]:
    """The epochs of the trials that it continues, the first one's first."""
    legs: list[int] = []
    while stored.continues is not None:
        stored = master.trial(search, stored.continues)
        legs.insert(0, stored.epochs)
    return legs


def as_far_as(stored: TrialView, legs: list[int]) -> LeasedTrial:
    """A trial to train again; one that was pruned to the epoch and with the folds that it came to."""
    is_pruned = stored.state is TrialState.PRUNED
    until, folds = (stored.epoch, len(stored.folds)) if is_pruned else (None, None)
    return LeasedTrial(number=stored.trial, params=stored.params, until=until, folds=folds, legs=legs)


def context_of(master: Foldstep, search: str) -> SearchContext:
    """What a worker is told of a search; the master checks the spec against its data once more to know it.

    Raises:
        SpecInvalid: the data no longer fits the spec.
    """
    return context_from(master, master.spec(search), search)


def context_from(master: Foldstep, submitted: dict[str, Any], search: str) -> SearchContext:
    """What a worker would be told of a search with such a spec.

    Raises:
        SpecInvalid: the spec has faults, or the data does not fit it.
    """
    checked = master.validate(submitted)
    spec = parse_spec(submitted)
    return SearchContext(
        search=search,
        seed=spec.seed,
        data=spec.data.model_copy(update={"target": checked.target, "task": checked.task}),
        task=checked.task,
        cv=spec.cv,
        metric=checked.metric,
        fingerprint=checked.fingerprint,
    )


def same_bits(result: TrialResult, stored: TrialView, curves: TrialCurves) -> bool:
    """Whether every fold has the same score, and the same loss and score in every epoch."""
    folds = [fold.score for fold in result.folds]
    return folds == stored.folds and {fold.fold: fold.curve for fold in result.folds} == curves.curves


def _score(result: TrialResult) -> float | None:
    scores = [fold.score for fold in result.folds if fold.score is not None]
    return math.fsum(scores) / len(scores) if len(scores) == len(result.folds) else None


def _as_record(result: TrialResult, stored: TrialView, *, is_same: bool) -> dict[str, Any]:
    folds = [fold.score for fold in result.folds]
    before = {"score": stored.score, "folds": stored.folds}
    return {"trial": result.trial, "score": _score(result), "folds": folds, "stored": before, "same": is_same}


def _print(result: TrialResult, stored: TrialView, *, is_same: bool) -> None:
    table = Table("", "stored", "again", title=f"trial {result.trial}", title_justify="left")
    table.add_row("score", display.score(stored.score), display.score(_score(result)))
    for fold, before in zip(result.folds, stored.folds, strict=False):
        table.add_row(f"fold {fold.fold}", _full(before), _full(fold.score))
    out.print(table)
    if is_same:
        out.print("The same bits: every fold's score, and its loss and score in every epoch.")
    else:
        out.print(
            "Not the same bits. Expected where a GPU or another machine trained the trial, "
            "or where the data behind the spec has changed since."
        )


def _full(score: float | None) -> str:
    """Every digit, so that two different scores never look alike."""
    return "–" if score is None else repr(score)
