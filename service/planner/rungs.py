"""The decision which trials continue at a rung: successive halving that does not depend on the order of arrival.

A rung is an epoch count at which trials are compared and the worst stop. The rungs of a trial lie at
min_epochs * eta^r below its own epochs. The rule is ASHA's (Li et al. 2020, "A system for massively parallel
hyperparameter tuning"): of all trials so far at a rung the best 1/eta continue. ASHA decides whenever a worker is free,
which makes the verdicts depend on the workers. Here trials are decided in blocks by number: at a rung a block is
decided when its trials and those of all earlier blocks have reached the rung, or have ended. A stopped trial may
belong to the best 1/eta when a later block is decided; it then continues.

Hyperband's brackets (Li et al. 2018) differ in their first rung; a trial's number determines its bracket.

Racing puts one rung before the others, at the epoch of the first of them but on the first folds alone: a trial that is
clearly worse there than the incumbent stops (`service.planner.racing`).

All verdicts are a pure function of the spec and of the losses of each trial, computed afresh for every decision.
"""

from __future__ import annotations

import heapq
import math
from bisect import bisect_left, insort
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import NamedTuple, TypeAlias

from foldstep.service.contract.spec import EarlyStopSpec
from foldstep.service.planner.racing import Field, is_clearly_worse, n_first_folds

MAX_SQUARED = 5
"""Up to this eta a block has eta^2 trials, so that the first block brings a trial past two rungs; above it eta."""
N_BRACKETS = {"none": 0, "asha": 1, "hyperband": 3}
"""Number of brackets for each kind of rungs; bracket s leaves out the first s rungs. With 0 there are no rungs."""


class Rung(NamedTuple):
    """A point in training at which a trial waits for a verdict.

    Attributes:
        epoch: number of epochs after which the trial waits.
        folds: number of folds, the first ones, that are trained up to it; None for all.
    """

    epoch: int
    folds: int | None


@dataclass(frozen=True)
class Climber:
    """The facts about a trial that verdicts depend on.

    Attributes:
        index: within its stage, from 0.
        losses: for each rung that it has reached, the losses of its folds, lower being better. For a trial that has
            ended, its final losses stand for each rung that it did not reach, and once more after its last rung.
        n_rungs: number of its rungs.
        is_lost: whether it diverged, failed or has no metric: it ranks last at every rung that it did not reach.
    """

    index: int
    losses: Sequence[Sequence[float]]
    n_rungs: int
    is_lost: bool = False

    def folds_at(self, rung: int) -> Sequence[float] | None:
        """Find the losses of its folds at a rung; None where it has not reached the rung yet."""
        if rung < len(self.losses):
            return self.losses[rung]
        if self.is_lost:
            return (math.inf,)
        return self.losses[-1] if len(self.losses) > self.n_rungs else None

    def loss_at(self, rung: int) -> float:
        """Compute the mean loss over the folds at a rung that it has reached."""
        folds = self.folds_at(rung)
        assert folds is not None
        return math.fsum(folds) / len(folds)

    @property
    def present(self) -> int | None:
        """The last rung that it reached; None before the first one, and after its end."""
        return len(self.losses) - 1 if 0 < len(self.losses) <= self.n_rungs else None


Block: TypeAlias = list[Climber]


class Verdict(NamedTuple):
    """The decisions at one rung: indices of the trials that continue (`on`) and stop (`off`); others are undecided."""

    on: set[int]
    off: set[int]


def ladder(rules: EarlyStopSpec, index: int, epochs: int, n_folds: int) -> list[Rung]:
    """List the rungs of a trial, in their order.

    Args:
        rules: the search's rules for early stopping.
        index: index of the trial within its stage.
        epochs: the trial's epochs.
        n_folds: number of folds of the search.
    """
    boundaries = list(_boundaries(rules, index, epochs))
    rungs = [Rung(epoch, None) for epoch in boundaries]
    if rules.race_folds and n_folds > 1:
        rungs.insert(0, Rung(boundaries[0] if boundaries else epochs, n_first_folds(n_folds)))
    return rungs


def _boundaries(rules: EarlyStopSpec, index: int, epochs: int) -> Iterator[int]:
    epoch = rules.min_epochs * rules.eta ** bracket(rules, index)
    while N_BRACKETS[rules.rungs] > 0 and epoch < epochs:
        yield epoch
        epoch *= rules.eta


def share_expected(rules: EarlyStopSpec, epochs: int) -> float:
    """Compute the share of its epochs that a trial trains on average, if at each rung the best 1/eta continue."""
    size = block_size(rules)
    trained = 0.0
    for index in range(size):
        ends = [0, *_boundaries(rules, index, epochs), epochs]
        trained += sum((end - begin) / rules.eta**n for n, (begin, end) in enumerate(pairwise(ends)))
    return trained / (size * epochs)


def bracket(rules: EarlyStopSpec, index: int) -> int:
    """Compute how many of the first rungs a trial leaves out."""
    if N_BRACKETS[rules.rungs] <= 1:
        return 0
    place = index % block_size(rules)
    for skipped, size in enumerate(_bracket_sizes(rules)):
        if place < size:
            return skipped
        place -= size
    raise AssertionError("expected a place inside the block")


def _bracket_sizes(rules: EarlyStopSpec) -> list[int]:
    """Compute the number of trials of each bracket in a round, so that all brackets cost about the same.

    Hyperband has ceil(S / (s + 1) * eta^s) for S brackets, s = S - 1, ..., 0.
    """
    s_max = N_BRACKETS[rules.rungs] - 1
    return [math.ceil((s_max + 1) / (s + 1) * rules.eta**s) for s in range(s_max, -1, -1)]


def block_size(rules: EarlyStopSpec) -> int:
    """Compute how many trials are decided together; a block of Hyperband has one round of all its brackets."""
    if N_BRACKETS[rules.rungs] > 1:
        return sum(_bracket_sizes(rules))
    return rules.eta**2 if rules.eta <= MAX_SQUARED else rules.eta


def decide(
    rules: EarlyStopSpec,
    climbers: Sequence[Climber],
    *,
    n_folds: int,
    is_closed: bool,
    block: int | None = None,
) -> list[Verdict]:
    """Decide every trial that can be decided now; one verdict for each rung, in their order.

    Earlier decisions come out the same again, except that stopped trials may continue after all.

    Args:
        rules: the search's rules for early stopping.
        climbers: every planned trial of the stage, in the order of their indices.
        n_folds: number of folds of the search.
        is_closed: whether no trial will follow, so that an incomplete last block is decided, too.
        block: number of trials decided together, where the planner proposes batches of that size; `block_size`
            when left out.
    """
    verdicts = [Verdict(set(), set()) for _ in range(max((c.n_rungs for c in climbers), default=0))]
    for brackets in range(max(1, N_BRACKETS[rules.rungs])):
        own = [c for c in climbers if bracket(rules, c.index) == brackets]
        arrivals = _blocks(own, block or block_size(rules), None if is_closed else len(climbers))
        for rung, verdict in enumerate(verdicts):
            is_race = rules.race_folds and n_folds > 1 and rung == 0
            arrivals = _race(arrivals, verdict, n_folds) if is_race else _halve(arrivals, verdict, rung, rules.eta)
    return verdicts


def _blocks(climbers: Sequence[Climber], size: int, n_planned: int | None) -> list[Block]:
    """Group trials into blocks, in their order; a block of which trials are not planned yet is left out."""
    blocks = [(number, list(block)) for number, block in groupby(climbers, key=lambda c: c.index // size)]
    return [block for number, block in blocks if n_planned is None or (number + 1) * size <= n_planned]


def _are_there(block: Block, rung: int) -> bool:
    return all(c.folds_at(rung) is not None for c in block)


def _halve(blocks: Sequence[Block], verdict: Verdict, rung: int, eta: int) -> list[Block]:
    """Decide block after block at one rung; return for each decided block the trials that it caused to continue.

    The best stopped trial is among the best k of all if fewer than k continuing trials are better, so two ordered
    lists are enough: n trials cost O(n log n), whatever the number of blocks.
    """
    ahead: list[tuple[float, int]] = []
    behind: list[tuple[float, int]] = []
    by_index: dict[int, Climber] = {}
    promoted: list[Block] = []
    for block in blocks:
        if not _are_there(block, rung):
            break
        by_index |= {c.index: c for c in block}
        for c in block:
            heapq.heappush(behind, (c.loss_at(rung), c.index))
        promoted.append([by_index[i] for i in _overtake(ahead, behind, max(1, len(by_index) // eta))])
    verdict.on.update(i for _, i in ahead)
    verdict.off.update(i for _, i in behind)
    return promoted


def _overtake(ahead: list[tuple[float, int]], behind: list[tuple[float, int]], n_best: int) -> list[int]:
    """Move the trials that belong to the best `n_best` from `behind` to `ahead`, never one whose loss is not finite."""
    moved = []
    while behind and math.isfinite(behind[0][0]) and bisect_left(ahead, behind[0]) < n_best:
        best = heapq.heappop(behind)
        insort(ahead, best)
        moved.append(best[1])
    return moved


def _race(blocks: Sequence[Block], verdict: Verdict, n_folds: int) -> list[Block]:
    """Decide block after block on the first folds; each is compared with the continuing trials of earlier blocks.

    These must have reached the next rung with all their folds: the incumbent is the best of them.
    """
    field = Field(n_folds)
    promoted: list[Block] = []
    for block in blocks:
        before = promoted[-1] if promoted else []
        if not _are_there(block, 0) or not _are_there(before, 1):
            break
        for c in before:
            field.add(c.folds_at(1) or ())
        yardstick = field.yardstick()
        worse = {c.index for c in block if yardstick and is_clearly_worse(c.folds_at(0) or (), yardstick)}
        verdict.off.update(worse)
        promoted.append([c for c in block if c.index not in worse])
        verdict.on.update(c.index for c in promoted[-1])
    return promoted
