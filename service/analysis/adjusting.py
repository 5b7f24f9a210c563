"""Find out what is to be done with the probabilities of an ensemble: a temperature, and a threshold between classes.

Both are for probabilities that are corrected for class weights, as users get them: networks are corrected one by one
and averaged, then comes the temperature, and then the threshold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from foldstep.service.analysis.greedy import Block, joined, parts
from foldstep.service.analysis.kept import ClassWeights, corrected
from foldstep.service.analysis.temperature import Rows, calibration
from foldstep.service.analysis.threshold import Part, threshold
from foldstep.service.contract.calibration import Calibration, Threshold
from foldstep.service.contract.final_spec import ThresholdSpec
from foldstep.service.contract.numbers import score
from foldstep.service.contract.probabilities import tempered

OfFolds = Sequence[ClassWeights | None]
"""The weights of classes in the training of each fold's network."""
_CORRECTED, _WEIGHTED = 0, 1


class Adjusting(NamedTuple):
    """What is wanted.

    Attributes:
        calibrate: whether probabilities shall get a temperature.
        threshold: what a threshold is chosen for; None for none.
        by_fold: see `greedy.held_out`.
    """

    calibrate: bool
    threshold: ThresholdSpec | None
    by_fold: bool


class Adjusted(NamedTuple):
    """What was found, and what to know of it."""

    calibration: Calibration | None = None
    threshold: Threshold | None = None
    notes: Sequence[str] = ()


def adjusted(
    blocks: Sequence[Block], weights: Mapping[int, float], trained: Mapping[int, OfFolds | None], wanted: Adjusting
) -> Adjusted:
    """Fit a temperature and choose a threshold on the out-of-fold rows of an ensemble.

    Args:
        blocks: one for each fold.
        weights: of the ensemble's members in its mean.
        trained: of each member the weights of classes in training; None where they are not known.
        wanted: what is asked for.
    """
    if not wanted.calibrate and wanted.threshold is None:
        return Adjusted()
    known = {member: of_folds for member, of_folds in trained.items() if of_folds is not None}
    if len(known) < len(trained):
        return Adjusted(notes=[f"{_asked(wanted)}: a checkpoint of an earlier version does not tell the weights that "
                               "classes had in training."])  # fmt: skip
    every = [_mean(block, fold, weights, known) for fold, block in enumerate(blocks)]
    usable = [block for block in map(_finite, every) if block.n_rows]
    halves = parts(usable, by_fold=wanted.by_fold)
    if not halves:
        return Adjusted(notes=[f"{_asked(wanted)}: there are too few out-of-fold rows."])
    n_left_out = sum(block.n_rows for block in every) - sum(block.n_rows for block in usable)
    notes = [f"{n_left_out:,} out-of-fold rows without probabilities had no part in this."] if n_left_out else []
    found = calibration([(_rows(a), _rows(b)) for a, b in halves], _rows(usable)) if wanted.calibrate else None
    notes = [*([] if found is None else [calibration_note(found)]), *notes]
    if wanted.threshold is None:
        return Adjusted(found, None, notes)
    cut = _threshold(usable, halves, 1.0 if found is None else found.temperature, wanted.threshold)
    return Adjusted(found, cut, [*notes, *([] if cut is None else [threshold_note(cut)])])


def _asked(wanted: Adjusting) -> str:
    return "Probabilities are not calibrated" if wanted.threshold is None else "No threshold is chosen"


def _mean(block: Block, fold: int, weights: Mapping[int, float], trained: Mapping[int, OfFolds]) -> Block:
    """Average the members of an ensemble, corrected for class weights and as training weighted them."""
    total = np.zeros(block.said.shape[1:])
    for member, weight in weights.items():
        total += weight * corrected(block.said[member], trained[member][fold]).T
    return Block(np.stack([total, joined(block, weights)[0]]), block.truth)


def _finite(block: Block) -> Block:
    return block.rows(np.flatnonzero(np.isfinite(block.said).all(axis=(0, 1))))


def _rows(blocks: Sequence[Block]) -> Rows:
    return Rows.of([Rows(block.said[_CORRECTED].T, block.truth) for block in blocks])


def _threshold(
    usable: Sequence[Block], halves: Sequence[tuple[list[Block], list[Block]]], temperature: float,
    wanted: ThresholdSpec,
) -> Threshold | None:  # fmt: skip
    """Choose a threshold; with one temperature for all parts, as of two classes that keeps the order of the rows."""

    def shares(blocks: Sequence[Block]) -> Rows:
        return _rows(blocks).changed(lambda one: tempered(one, temperature))

    found = [
        Part(shares(a), shares(b), np.concatenate([block.said[_WEIGHTED].argmax(axis=0) for block in b]))
        for a, b in halves
    ]
    return threshold(wanted, found, shares(usable))


def calibration_note(found: Calibration) -> str:
    """Say what a temperature brings, in a sentence."""
    before, after = found.before, found.after
    if found.fitted is None:
        return (
            "Probabilities get no temperature: of the out-of-fold rows no temperature is the best, as where no row is "
            "predicted wrong."
        )
    losses = f"log loss {score(after.log_loss)} against {score(before.log_loss)} without"
    if found.temperature == 1:
        return (
            "Probabilities get no temperature: on rows that they were not fitted on, temperatures were no better "
            f"({losses})."
        )
    return (
        f"Probabilities are calibrated by a temperature of {found.temperature:.3g}; on rows that it was not fitted on: "
        f"{losses}, calibration error {after.calibration_error:.1%} against {before.calibration_error:.1%}."
    )


def threshold_note(found: Threshold) -> str:
    """Say what a threshold brings, in a sentence."""
    by = "the mean cost" if found.by == "cost" else found.by
    scores = f"{by} {score(found.score)} against {score(found.default_score)} of the more probable class"
    if found.threshold is None:
        return (
            "The more probable class is predicted: on rows that they were not chosen on, thresholds were no better "
            f"({scores})."
        )
    return (
        f"The second class is predicted where its probability is above {found.threshold:.3g}, chosen for {by}; on rows "
        f"that it was not chosen on: {scores}."
    )
