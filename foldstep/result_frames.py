"""Trials and learning curves as DataFrames: of pandas where it is installed, else of polars."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from itertools import zip_longest
from typing import Any

from foldstep.service.contract.leaderboard import TrialCurves, TrialView

_FIRST = ("rank", "trial", "state", "score", "spread", "epoch", "epochs", "n_parameters", "duration_s")
"""Columns of a leaderboard before the hyperparameters."""
_CURVES = ("trial", "fold", "epoch", "train_loss", "score")


def leaderboard_rows(trials: Sequence[TrialView]) -> list[dict[str, Any]]:
    """Write trials as rows of a table, in their order: the score in the metric's own sign, then hyperparameters."""
    names = sorted({name for trial in trials for name in trial.params})
    return [
        {**{name: getattr(trial, name) for name in _FIRST}, **{name: _cell(trial.params.get(name)) for name in names}}
        for trial in trials
    ]


def _cell(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, list | tuple | dict) else value


def leaderboard_frame(trials: Sequence[TrialView]) -> Any:
    """Make a DataFrame of trials, with a row for each."""
    return as_frame(leaderboard_rows(trials), _FIRST)


def curves_frame(trials: Iterable[TrialCurves]) -> Any:
    """Make a DataFrame of learning curves, with a row for each epoch of each fold."""
    return as_frame([row for trial in trials for row in _curve_rows(trial)], _CURVES)


def _curve_rows(trial: TrialCurves) -> Iterable[dict[str, Any]]:
    for fold, curve in sorted(trial.curves.items()):
        for epoch, (loss, score) in enumerate(zip_longest(curve.train_loss, curve.score), start=1):
            yield dict(zip(_CURVES, (trial.trial, fold, epoch, loss, score), strict=True))


def as_frame(rows: list[dict[str, Any]], columns: Sequence[str]) -> Any:
    """Make a DataFrame of rows.

    Args:
        rows: all with the same keys.
        columns: the keys where there are no rows.
    """
    names = list(rows[0]) if rows else list(columns)
    if find_spec("pandas") is not None:
        import pandas as pd

        return pd.DataFrame(rows, columns=names)
    import polars as pl

    return pl.DataFrame(rows, schema=names, infer_schema_length=None, strict=False)
