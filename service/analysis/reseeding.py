"""Tell how much of the best trials' scores was luck, from the same trials with other seeds.

The best of many trials is the best by its seed, too: its score is too good (the "winner's curse"). With seeds that took
no part in the choice each configuration has a fair mean. Configurations are compared as in `rivals.py`, fold by fold,
each fold's loss being the mean over the seeds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from foldstep.models.catalog.metrics import METRICS
from foldstep.service.analysis.rivals import WinnerRequest, winner
from foldstep.service.contract.final import Reseeded, ReseedReport
from foldstep.service.contract.numbers import score as written
from foldstep.service.contract.winner import ComparedTrial


class Again(NamedTuple):
    """A configuration with other seeds.

    Attributes:
        trial: its number in the search.
        score: there.
        folds: its scores, one list for each seed.
        n_parameters: of its network.
    """

    trial: int
    score: float
    folds: Sequence[Sequence[float]]
    n_parameters: int | None


def reseed_report(search: str, metric: str, share: float, found: Sequence[Again]) -> ReseedReport:
    """Describe the best trials with other seeds.

    Args:
        search: the search that trained them.
        metric: its name.
        share: see `WinnerRequest`.
        found: the configurations, at least one, each with at least one seed.
    """
    loss_of = METRICS[metric].direction.loss_of
    ordered = sorted(found, key=lambda again: loss_of(float(np.mean(again.folds))))
    compared = [
        ComparedTrial(trial=a.trial, folds=np.mean(a.folds, axis=0).tolist(), n_parameters=a.n_parameters)
        for a in ordered
    ]
    said = winner(WinnerRequest(metric=metric, trials=compared, share=share, n_ranked=len(compared)))
    rows = [_row(again) for again in ordered]
    return ReseedReport(search=search, trials=rows, winner=said, sentences=[_luck(metric, found[0]), *said.sentences])


def _row(again: Again) -> Reseeded:
    means = [float(np.mean(folds)) for folds in again.folds]
    spread = float(np.std(means, ddof=1)) if len(means) > 1 else None
    return Reseeded(trial=again.trial, score=again.score, again=means, mean=float(np.mean(means)), spread=spread)


def _luck(metric: str, first: Again) -> str:
    """Describe the trial that won the search."""
    row = _row(first)
    seeds = "another seed" if len(row.again) == 1 else f"{len(row.again)} other seeds"
    spread = "" if row.spread is None else f" ± {written(row.spread)}"
    loss_of = METRICS[metric].direction.loss_of
    luck = loss_of(row.mean) - loss_of(row.score)
    of_it = f"{written(luck)} of that was luck" if luck > 0 else "that was not luck"
    return (
        f"With {seeds} trial {row.trial}, the best of the search, has {metric} {written(row.mean)}{spread}; in the "
        f"search it had {written(row.score)}: {of_it}."
    )
