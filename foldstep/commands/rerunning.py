"""`rerun`: train one trial again and tell whether the result is the same."""

from __future__ import annotations

import math
from typing import Annotated, Any

import typer
from rich.table import Table

from foldstep.connect import DEFAULT_DIR, connect
from foldstep.options import Dir, Json, SearchId, Token, Url, out, print_json, quiet_exit
from foldstep.service.contract.leaderboard import TrialCurves, TrialView
from foldstep.service.contract.numbers import score
from foldstep.service.contract.report import TrialResult

DIFFERENT = 3


def rerun(
    search: SearchId,
    trial: Annotated[int, typer.Argument(metavar="TRIAL", help="Number of a finished trial.")],
    url: Url = None,
    token: Token = None,
    data_dir: Dir = DEFAULT_DIR,
    as_json: Json = False,
) -> None:
    """Train one trial again, alone, on this machine's CPU; exit code 3 if the result differs in any bit."""
    from foldstep.worker.client import MasterClient
    from foldstep.worker.rerun import rerun as train
    from foldstep.worker.settings import default_cache_dir

    master = connect(url, token, data_dir)
    work, stored, curves = master.work(search, trial), master.trial(search, trial), master.curves(search, trial)
    result = train(MasterClient(master.connection), work, default_cache_dir())
    is_same = same_bits(result, stored, curves)
    if as_json:
        print_json(_as_record(result, stored, is_same=is_same))
    else:
        _print(result, stored, is_same=is_same)
    quiet_exit(0 if is_same else DIFFERENT)


def same_bits(result: TrialResult, stored: TrialView, curves: TrialCurves) -> bool:
    """Tell whether every fold has the same score, and the same loss and score in every epoch."""
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
    table.add_row("score", score(stored.score), score(_score(result)))
    for fold, before in zip(result.folds, stored.folds, strict=False):
        table.add_row(f"fold {fold.fold}", _full(before), _full(fold.score))
    out.print(table)
    if is_same:
        out.print("The same bits: every fold's score, and its loss and score in every epoch.")
    else:
        out.print(
            "Not the same bits. Expected where a GPU or another kind of machine trained the trial (another processor, "
            "or one of the two without a C++ compiler)."
        )


def _full(score: float | None) -> str:
    """Format a score with every digit, so that two different scores never look the same."""
    return "–" if score is None else repr(score)
