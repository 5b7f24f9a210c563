"""Choose the ensemble of a search from the checkpoints of its best trials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from pydantic import Field

from foldstep.models.catalog.metrics import METRICS
from foldstep.models.catalog.tasks import Task
from foldstep.service.analysis.adjusting import Adjusted, Adjusting, adjusted
from foldstep.service.analysis.calibration import half_widths, joined_rows
from foldstep.service.analysis.greedy import Aim, Block, Choice, HeldOut, choose, held_out, joined
from foldstep.service.analysis.kept import read_class_weights, read_predictions
from foldstep.service.analysis.scores import Truth
from foldstep.service.contract.ensemble import Ensemble, EnsembleMember
from foldstep.service.contract.final_spec import ThresholdSpec
from foldstep.service.contract.out_of_fold import FoldPredictions
from foldstep.service.contract.space import Frozen

MOST_ROWS = 20_000
"""Rows on which an ensemble is chosen, of all folds together: of more, some at equal distances."""


class Candidate(Frozen):
    """A trial that may join: its checkpoints, in the order of its folds."""

    trial: int
    checkpoints: list[str]


class EnsembleRequest(Frozen):
    """What an ensemble is chosen from.

    Attributes:
        folder: of the checkpoints.
        candidates: the best trial first.
        levels: of the quantiles that are predicted.
        members: trials of an ensemble at most.
        by_fold: whether each row is in the validation part of one fold, of several; see `greedy.held_out`.
        calibrate: whether probabilities shall get a temperature.
        threshold: what a threshold between two classes is chosen for; None for none.
    """

    search: str
    folder: str
    candidates: list[Candidate]
    metric: str
    task: Task
    levels: list[float] = Field(default_factory=list)
    members: int
    by_fold: bool
    calibrate: bool = False
    threshold: ThresholdSpec | None = None


class Chosen(Frozen):
    """What was chosen; None where no candidate has predictions with a score."""

    ensemble: Ensemble | None


def ensemble(request: EnsembleRequest) -> Ensemble | None:
    """Choose the ensemble of a search; None where no candidate has predictions with a score."""
    known = [(c, read_predictions(Path(request.folder), c.checkpoints)) for c in request.candidates]
    there = [(candidate, folds) for candidate, folds in known if folds]
    if not there:
        return None
    blocks = [_block([folds[i] for _, folds in there], request.levels) for i in range(len(there[0][1]))]
    n_rows = sum(block.n_rows for block in blocks)
    blocks = [_thinned(block, n_rows) for block in blocks]
    aim = Aim(request.metric, request.task, request.members)
    choice = choose(blocks, aim)
    if choice is None:
        return None
    guard = held_out(blocks, aim, by_fold=request.by_fold)
    candidates = [candidate for candidate, _ in there]
    notes = _notes(n_rows, len(known) - len(there))
    return _described(request, candidates, blocks, choice, guard, notes)


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
    request: EnsembleRequest,
    candidates: Sequence[Candidate],
    blocks: Sequence[Block],
    choice: Choice,
    guard: HeldOut | None,
    notes: list[str],
) -> Ensemble:
    direction = METRICS[request.metric].direction
    is_worth_it = len(choice.times) > 1 and guard is not None and guard.ensemble < guard.alone
    weights = choice.weights if is_worth_it else {0: 1.0}  # the first of the leaderboard
    if len(choice.times) > 1 and not is_worth_it:
        notes = [*notes, "The best trial predicts alone: on rows that took no part in the choice, ensembles were no "
                         "better than the best trial."]  # fmt: skip
    alone = Aim(request.metric, request.task, request.members).losses(blocks, lambda block: block.said)
    members = [
        EnsembleMember(
            trial=candidates[i].trial,
            weight=weight,
            score=direction.score_of(float(alone[i])),
            checkpoints=candidates[i].checkpoints,
        )
        for i, weight in weights.items()
    ]
    probabilities = _adjusted(request, candidates, blocks, weights)
    return Ensemble(
        search=request.search,
        members=members,
        score=direction.score_of(choice.loss if is_worth_it else float(alone[0])),
        winner=candidates[0].trial,
        winner_score=direction.score_of(float(alone[0])),
        held_out_score=None if guard is None else direction.score_of(guard.ensemble),
        held_out_winner_score=None if guard is None else direction.score_of(guard.alone),
        intervals=_intervals(request, blocks, weights),
        calibration=probabilities.calibration,
        threshold=probabilities.threshold,
        n_candidates=len(candidates),
        n_networks=sum(len(member.checkpoints) for member in members),
        notes=[*notes, *probabilities.notes],
    )


def _adjusted(
    request: EnsembleRequest, candidates: Sequence[Candidate], blocks: Sequence[Block], weights: Mapping[int, float]
) -> Adjusted:
    if request.task != "classification":
        return Adjusted()
    wanted = Adjusting(request.calibrate, request.threshold, request.by_fold)
    trained = {i: read_class_weights(Path(request.folder), candidates[i].checkpoints) for i in weights}
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
