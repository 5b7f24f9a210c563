"""Tell which trials cannot be told from the best one, and which of them is the simplest.

Trials are compared with the best one fold by fold, since folds differ more than trials do. Two things make such
differences look surer than they are: the folds' training parts overlap, and the best of many was picked as the best.
The first is met by the variance of Nadeau and Bengio (2003, "Inference for the generalization error"), the second by
sharing the level among all comparisons (Bonferroni), as comparisons with the best need (Hsu 1981).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from pydantic import Field

from foldstep.models.catalog.metrics import METRICS
from foldstep.service.contract.numbers import score as written
from foldstep.service.contract.space import Frozen
from foldstep.service.contract.winner import ComparedTrial, Winner

LEVEL = 0.05
"""Chance that any trial which is as good as the best one is told from it."""
_SHOWN = 10


class WinnerRequest(Frozen):
    """What is compared.

    Attributes:
        trials: the best one first.
        share: validation rows to training rows of a fold.
        n_ranked: all trials of the search that have a score.
    """

    metric: str
    trials: list[ComparedTrial] = Field(min_length=1)
    share: float = Field(gt=0)
    n_ranked: int


def winner(request: WinnerRequest) -> Winner:
    """Compare the best trial of a search with the others."""
    first, others = request.trials[0], request.trials[1:]
    loss_of = METRICS[request.metric].direction.loss_of
    losses = np.array([[loss_of(score) for score in c.folds] for c in request.trials])
    n_folds = losses.shape[1]
    rivals = [c for c, own in zip(others, losses[1:], strict=True)
              if not _is_told(own - losses[0], request.share, len(others))]  # fmt: skip
    error = float(losses[0].std(ddof=1) / math.sqrt(n_folds)) if n_folds > 1 else None
    simplest = None if error is None else _simplest(request.trials, losses, error)
    return Winner(
        trial=first.trial,
        score=float(np.mean(first.folds)),
        standard_error=error,
        n_compared=len(others),
        rivals=[c.trial for c in rivals],
        simplest=None if simplest is None else simplest.trial,
        simplest_parameters=None if simplest is None else simplest.n_parameters,
        sentences=_sentences(request, rivals, simplest, error),
    )


def _is_told(differences: np.ndarray, share: float, n_compared: int) -> bool:
    """Tell whether a trial is surely worse, given its losses less those of the best one, by fold."""
    n_folds, mean = len(differences), float(differences.mean())
    if n_folds < 2:
        return False
    error = math.sqrt((1 / n_folds + share) * float(differences.var(ddof=1)))
    if error == 0:
        return mean > 0
    return mean / error > _quantile(1 - LEVEL / n_compared, n_folds - 1)


def _quantile(level: float, freedom: int) -> float:
    """Compute a quantile of Student's t."""
    from scipy.special import stdtrit  # of scipy.stats, which takes ten times as long to import

    return float(stdtrit(freedom, level))


def _simplest(trials: Sequence[ComparedTrial], losses: np.ndarray, error: float) -> ComparedTrial | None:
    """Find the trial with the fewest parameters within a standard error of the best (Breiman et al. 1984)."""
    near = losses.mean(axis=1) <= losses[0].mean() + error
    within = [c for c, is_near in zip(trials, near, strict=True) if is_near and c.n_parameters is not None]
    return min(within, key=lambda c: c.n_parameters or 0) if within else None


def _sentences(
    request: WinnerRequest, rivals: Sequence[ComparedTrial], simplest: ComparedTrial | None, error: float | None
) -> list[str]:
    first, n = request.trials[0], len(request.trials) - 1
    if n == 0:
        return []
    if error is None:
        return ["With one holdout part nothing tells the best trial from the others: folds would."]
    best = f" of the {n:,} best" if request.n_ranked > n + 1 else f" of the {n:,} others"
    said = f"Trial {first.trial} cannot be told from {len(rivals):,}{best}"
    if rivals:
        listed = ", ".join(str(c.trial) for c in rivals[:_SHOWN])
        said += f" ({listed}{', …' if len(rivals) > _SHOWN else ''})"
    else:
        said = f"Trial {first.trial} is better than each{best}"
    sentences = [f"{said}: paired over the folds, at a level of {LEVEL:.0%}, corrected for being the best of "
                 f"{n + 1:,}."]  # fmt: skip
    if simplest is not None and simplest.trial != first.trial:
        sentences.append(
            f"The smallest network within one standard error ({written(error)}) of it is that of trial "
            f"{simplest.trial}, with {simplest.n_parameters:,} parameters."
        )
    return sentences
