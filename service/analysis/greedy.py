"""Choose an ensemble among trials: greedily, with replacement, on out-of-fold predictions (Caruana et al. 2004).

In each round the trial joins whose predictions, averaged with those of all before it, score best; the first one is the
best trial alone. A trial may join again, which gives it more weight. The score of an ensemble is, as a trial's, the
mean over the folds of the metric on the fold's validation rows.

An ensemble that was chosen as the best of many on some rows flatters itself on them. Two guards hold that down:
members are few, as the shortest ensemble is taken that has nearly all of the gain; and the whole choice is repeated on
a part of the rows and scored on the others (`held_out`). Where the ensemble does not win there, the winner stays alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from foldstep.models.catalog.metrics import METRICS
from foldstep.models.catalog.tasks import Task
from foldstep.service.analysis.scores import Answers, Truth, scores

ROUNDS = 25
"""Rounds of a choice: weights are multiples of 1 / 25 at the finest."""
ENOUGH = 0.95
"""Share of the greatest gain over the best trial that a shorter ensemble must have."""
N_PARTS = 5
"""Parts of the rows, each of which is held out once."""
_Losses: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Block:
    """Validation rows of one fold, with the predictions of every candidate.

    Attributes:
        said: (candidates, outputs, rows).
        truth: of the rows.
    """

    said: Answers
    truth: Truth

    def rows(self, which: npt.NDArray[np.int64]) -> Block:
        """Take some of the rows."""
        weight = None if self.truth.weight is None else self.truth.weight[which]
        return Block(self.said[:, :, which], Truth(self.truth.values[which], weight, self.truth.levels))

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return len(self.truth.values)


class Aim(NamedTuple):
    """What an ensemble is chosen for.

    Attributes:
        metric: its name.
        task: of the predictions.
        members: trials of an ensemble at most.
    """

    metric: str
    task: Task
    members: int

    def losses(self, blocks: Sequence[Block], said: Callable[[Block], Answers]) -> _Losses:
        """Compute the mean over the folds of each answer's loss, infinite where it has none; (answers,).

        A fold in which no answer has a loss, as its rows are all of one class, tells nothing and is left out.
        """
        of_folds = np.stack([scores(self.metric, self.task, said(block), block.truth) for block in blocks])
        known = of_folds[np.isfinite(of_folds).any(axis=1)]
        direction = METRICS[self.metric].direction
        losses = np.array([direction.loss_of(score) for score in known.mean(axis=0)]) if len(known) else np.array([])
        losses = losses if len(losses) else np.full(of_folds.shape[1], np.inf)
        return np.where(np.isfinite(losses), losses, np.inf)


@dataclass(frozen=True)
class Choice:
    """An ensemble: how many rounds chose each candidate.

    Attributes:
        times: candidate to its number of rounds, in the order in which they joined.
        loss: of the ensemble on the rows that it was chosen on.
        alone: loss of the best candidate alone.
    """

    times: dict[int, int]
    loss: float
    alone: float

    @property
    def weights(self) -> dict[int, float]:
        """Share of each member, in the order in which they joined."""
        return {candidate: n / sum(self.times.values()) for candidate, n in self.times.items()}

    @property
    def first(self) -> int:
        """The best candidate alone."""
        return next(iter(self.times))


def choose(blocks: Sequence[Block], aim: Aim, enough: float = ENOUGH) -> Choice | None:
    """Choose an ensemble; None where no candidate has a score.

    Args:
        blocks: one for each fold.
        aim: what it is chosen for.
        enough: share of the greatest gain over the first candidate that a shorter ensemble must have.
    """
    losses = aim.losses(blocks, lambda block: block.said)
    if not np.isfinite(losses).any():
        return None
    picked, reached = [int(losses.argmin())], [float(losses.min())]
    sums = [block.said[picked[0]].astype(np.float64) for block in blocks]
    while len(picked) < ROUNDS:
        losses = _of_joined(blocks, sums, len(picked) + 1, aim)
        if len(set(picked)) >= aim.members:
            losses[[i for i in range(len(losses)) if i not in picked]] = np.inf
        best = int(losses.argmin())
        if not np.isfinite(losses[best]):
            break
        picked.append(best)
        reached.append(float(losses[best]))
        for total, block in zip(sums, blocks, strict=True):
            total += block.said[best]
    return _shortest(picked, reached, enough)


def _of_joined(blocks: Sequence[Block], sums: Sequence[Answers], n: int, aim: Aim) -> _Losses:
    """Compute the loss of the ensemble with each candidate as its `n`-th."""
    total = {id(block): summed for block, summed in zip(blocks, sums, strict=True)}
    return aim.losses(blocks, lambda block: (total[id(block)] + block.said) / n)


def _shortest(picked: Sequence[int], reached: Sequence[float], enough: float) -> Choice:
    """Take the first rounds that have nearly all of the greatest gain over the first."""
    least = reached[0] - enough * (reached[0] - min(reached))
    n = next(i for i, loss in enumerate(reached) if loss <= least) + 1
    return Choice(dict(Counter(picked[:n])), reached[n - 1], reached[0])


def joined(block: Block, weights: Mapping[int, float]) -> Answers:
    """Average the predictions of an ensemble's members by their weights, (1, outputs, rows)."""
    return np.asarray(np.tensordot(list(weights.values()), block.said[list(weights)], axes=1)[None])


class HeldOut(NamedTuple):
    """Mean losses on rows on which neither the ensemble nor the best trial was chosen."""

    ensemble: float
    alone: float


def held_out(blocks: Sequence[Block], aim: Aim, *, by_fold: bool) -> HeldOut | None:
    """Choose on a part of the rows and score on the others, in turns; None where too few rows have a score.

    Args:
        blocks: one for each fold.
        aim: see `choose`.
        by_fold: hold out whole folds, in which rows of a group or of a time are together; else every fifth row of
            each fold, as rows are in several folds where these are repeated, and a holdout is one fold.
    """
    found: list[tuple[float, float]] = []
    for chosen_on, scored_on in parts(blocks, by_fold=by_fold):
        choice = choose(chosen_on, aim)
        if choice is None:
            continue
        loss = float(aim.losses(scored_on, lambda block, choice=choice: joined(block, choice.weights))[0])  # type: ignore[misc]
        alone = float(aim.losses(scored_on, lambda block, first=choice.first: block.said[[first]])[0])  # type: ignore[misc]
        if np.isfinite(loss) and np.isfinite(alone):
            found.append((loss, alone))
    return HeldOut(*np.mean(found, axis=0).tolist()) if found else None


def parts(blocks: Sequence[Block], *, by_fold: bool) -> list[tuple[list[Block], list[Block]]]:
    """Pair the rows to choose on with those to score on; for the arguments see `held_out`."""
    found = []
    for part in range(min(N_PARTS, len(blocks)) if by_fold else N_PARTS):
        if by_fold:
            others = [b for i, b in enumerate(blocks) if i % N_PARTS != part]
            found.append((others, [b for i, b in enumerate(blocks) if i % N_PARTS == part]))
            continue
        is_out = [np.arange(b.n_rows) % N_PARTS == part for b in blocks]
        split = [[b.rows(np.flatnonzero(rows)) for b, rows in zip(blocks, which, strict=True)]
                 for which in ([~out for out in is_out], is_out)]  # fmt: skip
        found.append(([b for b in split[0] if b.n_rows], [b for b in split[1] if b.n_rows]))
    return [(chosen_on, scored_on) for chosen_on, scored_on in found if chosen_on and scored_on]
