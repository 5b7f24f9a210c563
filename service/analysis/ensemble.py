"""Choose the ensemble of a search from the checkpoints of its best trials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from pydantic import Field

from foldstep.models.catalog.metrics import METRICS
from foldstep.models.catalog.tasks import Task
from foldstep.service.analysis.adjusting import Adjusted, Adjusting, adjusted
from foldstep.service.analysis.calibration import half_widths, joined_rows
from foldstep.service.analysis.greedy import Aim, Block, HeldOut, choose, held_out, joined
from foldstep.service.analysis.kept import read_class_weights, read_predictions
from foldstep.service.analysis.prediction_time import cost_of, cost_sentence
from foldstep.service.analysis.scores import Truth
from foldstep.service.contract.ensemble import Ensemble, EnsembleMember
from foldstep.service.contract.final_spec import Kind, ThresholdSpec
from foldstep.service.contract.out_of_fold import FoldPredictions
from foldstep.service.contract.space import Frozen

MOST_ROWS = 20_000
"""Rows on which an ensemble is chosen, of all folds together: of more, some at equal distances."""


class Candidate(Frozen):
    """A trial that may join.

    Attributes:
        search: the search that has it; None for that of the ensemble.
        folder: of its checkpoints.
        checkpoints: in the order of its folds.
    """

    trial: int
    search: str | None = None
    folder: str
    checkpoints: list[str]

    @property
    def paths(self) -> list[Path]:
        """Its checkpoints, as files."""
        return [Path(self.folder) / name for name in self.checkpoints]


class Given(Frozen):
    """Members that are not chosen: they were trained for it, and have equal weights.

    Attributes:
        words: see `Ensemble`, as for the others.
        has_best: whether the first candidate, the best trial, is one of them.
        notes: what to know of them.
    """

    kind: Kind
    words: str | None = None
    has_best: bool = False
    why_alone: str | None = None
    is_coming: bool = False
    notes: list[str] = Field(default_factory=list)


class EnsembleRequest(Frozen):
    """What an ensemble is made of.

    Attributes:
        candidates: the best trial first.
        levels: of the quantiles that are predicted.
        members: trials of an ensemble at most, where they are chosen.
        by_fold: whether each row is in the validation part of one fold, of several; see `greedy.held_out`.
        calibrate: whether probabilities shall get a temperature.
        threshold: what a threshold between two classes is chosen for; None for none.
        given: that all candidates but perhaps the first are its members; None to choose.
    """

    search: str
    candidates: list[Candidate]
    metric: str
    task: Task
    levels: list[float] = Field(default_factory=list)
    members: int
    by_fold: bool
    calibrate: bool = False
    threshold: ThresholdSpec | None = None
    given: Given | None = None


class Chosen(Frozen):
    """What was chosen; None where no candidate has predictions with a score."""

    ensemble: Ensemble | None


class _Together(NamedTuple):
    """What predicts together.

    Attributes:
        weights: of each candidate, by its index.
        loss: on the out-of-fold rows.
        guard: losses on rows that took no part in a choice; None where there was none.
    """

    weights: Mapping[int, float]
    loss: float
    guard: HeldOut | None
    notes: list[str]


def ensemble(request: EnsembleRequest) -> Ensemble | None:
    """Find the ensemble of a search; None where no candidate has predictions with a score."""
    known = [(c, read_predictions(Path(c.folder), c.checkpoints)) for c in request.candidates]
    there = [(candidate, folds) for candidate, folds in known if folds]
    if not there or (request.given is not None and not known[0][1]):
        return None
    blocks = [_block([folds[i] for _, folds in there], request.levels) for i in range(len(there[0][1]))]
    n_rows = sum(block.n_rows for block in blocks)
    blocks = [_thinned(block, n_rows) for block in blocks]
    together = _chosen(request, blocks) if request.given is None else _given(request, request.given, blocks)
    if together is None:
        return None
    notes = [*_notes(n_rows, len(known) - len(there)), *together.notes]
    return _described(request, [candidate for candidate, _ in there], blocks, together._replace(notes=notes))


def _chosen(request: EnsembleRequest, blocks: Sequence[Block]) -> _Together | None:
    aim = _aim(request)
    choice = choose(blocks, aim)
    if choice is None:
        return None
    guard = held_out(blocks, aim, by_fold=request.by_fold)
    if len(choice.times) > 1 and guard is not None and guard.ensemble < guard.alone:
        return _Together(choice.weights, choice.loss, guard, [])
    notes = ["The best trial predicts alone: on rows that took no part in the choice, ensembles were no better than "
             "the best trial."] if len(choice.times) > 1 else []  # fmt: skip
    return _Together({0: 1.0}, _alone(request, blocks), guard, notes)  # the first of the leaderboard


def _given(request: EnsembleRequest, given: Given, blocks: Sequence[Block]) -> _Together | None:
    alone, n = _alone(request, blocks), len(blocks[0].said)
    if given.words is None or n == 1:
        return _Together({0: 1.0}, alone, None, given.notes)
    members = range(0 if given.has_best else 1, n)
    weights = dict.fromkeys(members, 1 / len(members))
    loss = float(_aim(request).losses(blocks, lambda block: joined(block, weights))[0])
    notes = ["On these rows the best trial alone is better, which was chosen on them; `final: {ensemble: none}` lets "
             "it predict alone."] if loss > alone else []  # fmt: skip
    return _Together(weights, loss, None, [*given.notes, *notes])


def _aim(request: EnsembleRequest) -> Aim:
    return Aim(request.metric, request.task, request.members)


def _alone(request: EnsembleRequest, blocks: Sequence[Block]) -> float:
    """Compute the loss of the best trial."""
    return float(_aim(request).losses(blocks, lambda block: block.said[[0]])[0])


def _block(of_candidates: Sequence[FoldPredictions], levels: Sequence[float]) -> Block:
    first = of_candidates[0]
    said = np.stack([predictions.predictions.T for predictions in of_candidates])
    return Block(said, Truth(first.truth, first.weight, tuple(levels)))


def _thinned(block: Block, n_rows: int) -> Block:
    """Take a fold's share of the rows that are looked at."""
    n_taken = max(1, block.n_rows * MOST_ROWS // n_rows)
    if n_rows <= MOST_ROWS:
        return block
    return block.rows(np.linspace(0, block.n_rows - 1, n_taken).astype(np.int64))


def _described(
    request: EnsembleRequest, candidates: Sequence[Candidate], blocks: Sequence[Block], together: _Together
) -> Ensemble:
    direction = METRICS[request.metric].direction
    weights, guard = together.weights, together.guard
    alone = [direction.score_of(float(loss)) for loss in _aim(request).losses(blocks, lambda block: block.said)]
    members = [_member(candidates[i], weight, alone[i]) for i, weight in weights.items()]
    probabilities = _adjusted(request, candidates, blocks, weights)
    given = Given(kind="greedy") if request.given is None else request.given
    cost, winner_cost = (cost_of([path for i in some for path in candidates[i].paths]) for some in (weights, [0]))
    return Ensemble(
        search=request.search,
        kind=given.kind,
        words=given.words,
        members=members,
        score=direction.score_of(together.loss),
        winner=candidates[0].trial,
        winner_score=alone[0],
        held_out_score=None if guard is None else direction.score_of(guard.ensemble),
        held_out_winner_score=None if guard is None else direction.score_of(guard.alone),
        intervals=_intervals(request, blocks, weights),
        calibration=probabilities.calibration,
        threshold=probabilities.threshold,
        n_candidates=len(candidates),
        n_networks=sum(len(member.checkpoints) for member in members),
        cost=cost,
        winner_cost=winner_cost,
        cost_sentence=cost_sentence(cost, winner_cost) if cost and winner_cost else None,
        why_alone=given.why_alone,
        is_coming=given.is_coming,
        notes=[*together.notes, *probabilities.notes],
    )


def _member(candidate: Candidate, weight: float, score: float) -> EnsembleMember:
    return EnsembleMember(
        trial=candidate.trial, search=candidate.search, weight=weight, score=score, checkpoints=candidate.checkpoints
    )


def _adjusted(
    request: EnsembleRequest, candidates: Sequence[Candidate], blocks: Sequence[Block], weights: Mapping[int, float]
) -> Adjusted:
    if request.task != "classification":
        return Adjusted()
    wanted = Adjusting(request.calibrate, request.threshold, request.by_fold)
    trained = {i: read_class_weights(Path(candidates[i].folder), candidates[i].checkpoints) for i in weights}
    return adjusted(blocks, weights, trained, wanted)


def _intervals(request: EnsembleRequest, blocks: Sequence[Block], weights: Mapping[int, float]) -> dict[str, float]:
    """Find half the widths of intervals around the predictions of one number."""
    if request.task != "regression" or request.levels or blocks[0].truth.values.ndim > 1:
        return {}
    said, truth = joined_rows([(joined(block, weights)[0], block.truth) for block in blocks])
    return {f"{level:g}": width for level, width in half_widths(said[0], truth).items()}


def _notes(n_rows: int, n_without: int) -> list[str]:
    notes = []
    if n_rows > MOST_ROWS:
        notes.append(f"It was chosen on {MOST_ROWS:,} of {n_rows:,} validation rows, at equal distances.")
    if n_without:
        trials = "trial has" if n_without == 1 else "trials have"
        notes.append(
            f"{n_without} of the best {trials} no out-of-fold predictions, so could not join: they were trained by an "
            "earlier version or with `checkpoints.predictions: false`, or their files are damaged."
        )
    return notes
