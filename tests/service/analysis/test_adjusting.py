"""What an ensemble's out-of-fold rows say of its probabilities: corrected, averaged, then calibrated and cut."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import f1_score

from foldstep.service.analysis.adjusting import Adjusting, adjusted
from foldstep.service.analysis.greedy import Block
from foldstep.service.analysis.scores import Truth
from foldstep.service.analysis.temperature import Rows, temperature_of
from foldstep.service.analysis.threshold import best, losses_by
from foldstep.service.contract.final_spec import ThresholdSpec
from foldstep.service.contract.probabilities import tempered
from tests.service.analysis.test_temperature import rows_of

WEIGHTS = np.array([1.0, 6.0])
CALIBRATE = Adjusting(calibrate=True, threshold=None, by_fold=True)


def blocks_of(n_folds: int = 4, n: int = 800) -> list[Block]:
    """Folds of two candidates: one is twice too sure, the other likewise and shifted by class weights."""
    blocks = []
    for fold in range(n_folds):
        rows = rows_of(n, 2, 2.0, seed=20 + fold)
        shifted = rows.shares * WEIGHTS
        said = np.stack([rows.shares.T, (shifted / shifted.sum(axis=1, keepdims=True)).T])
        blocks.append(Block(said.astype(np.float32), rows.truth))
    return blocks


def every(blocks: list[Block]) -> Rows:
    return Rows.of([Rows(block.said[0].T.astype(float), block.truth) for block in blocks])


def test_members_are_corrected_before_they_are_averaged() -> None:
    """Undone, both candidates say the same: so the temperature is that of one alone."""
    blocks = blocks_of()
    trained = {0: [None] * 4, 1: [WEIGHTS] * 4}
    found = adjusted(blocks, {0: 0.3, 1: 0.7}, trained, CALIBRATE)
    assert found.calibration is not None
    assert found.calibration.temperature == pytest.approx(temperature_of(every(blocks)), rel=1e-4)
    assert found.calibration.temperature == pytest.approx(2, rel=0.15)
    assert found.threshold is None
    assert "calibrated by a temperature of" in found.notes[0]
    wrong = adjusted(blocks, {0: 0.3, 1: 0.7}, {0: [None] * 4, 1: [None] * 4}, CALIBRATE).calibration
    assert wrong is not None
    assert wrong.before.log_loss > found.calibration.before.log_loss + 0.02


def test_a_threshold_is_of_calibrated_probabilities_and_against_the_class_as_training_weighted_it() -> None:
    blocks = blocks_of()
    for trained, calibrate in ((WEIGHTS, True), (None, False)):
        wanted = Adjusting(calibrate=calibrate, threshold=ThresholdSpec(metric="f1"), by_fold=True)
        found = adjusted(blocks, {1: 1.0}, {1: [trained] * 4}, wanted)
        assert found.threshold is not None
        assert (found.calibration is not None) == calibrate
        temperature = 1.0 if found.calibration is None else found.calibration.temperature
        said = np.concatenate([block.said[1].T for block in blocks])
        shares = said / (WEIGHTS if trained is not None else 1)
        rows = Rows(tempered(shares / shares.sum(axis=1, keepdims=True), temperature), every(blocks).truth)
        assert found.threshold.chosen == pytest.approx(best(losses_by(ThresholdSpec(metric="f1")), rows), rel=1e-4)
        truth, labels = rows.truth.values, said.argmax(axis=1)
        assert found.threshold.default_score == pytest.approx(f1_score(truth, labels))
        cut = rows.shares[:, 1] > found.threshold.chosen
        assert found.threshold.score == pytest.approx(f1_score(truth, cut), abs=0.02)  # that of five thresholds
        assert "predicted" in found.notes[-1]


def test_what_has_no_probability_has_no_part_and_is_counted() -> None:
    blocks = blocks_of()
    odd = [Block(block.said.copy(), block.truth) for block in blocks]
    odd[0].said[0, :, :3] = np.nan
    found = adjusted(odd, {0: 1.0}, {0: [None] * 4}, CALIBRATE)
    whole = adjusted(blocks, {0: 1.0}, {0: [None] * 4}, CALIBRATE)
    assert found.calibration is not None
    assert whole.calibration is not None
    assert found.calibration.n_rows == whole.calibration.n_rows - 3
    assert "3 out-of-fold rows without probabilities" in found.notes[1]


def test_what_cannot_be_done_is_said() -> None:
    blocks = blocks_of()
    unknown = adjusted(blocks, {0: 0.5, 1: 0.5}, {0: [None] * 4, 1: None}, CALIBRATE)
    assert unknown.calibration is None
    assert "does not tell the weights" in unknown.notes[0]
    assert adjusted(blocks, {0: 1.0}, {0: [None] * 4}, CALIBRATE._replace(calibrate=False)) == (None, None, ())
    nothing = Block(np.full((1, 2, 3), np.nan), Truth(np.array([0, 1, 1])))
    none = adjusted([nothing], {0: 1.0}, {0: [None]}, CALIBRATE)
    assert none.calibration is None
    assert "too few out-of-fold rows" in none.notes[0]
    right = Block(np.array([[[0.9, 0.2, 0.8, 0.4], [0.1, 0.8, 0.2, 0.6]]]), Truth(np.array([0, 1, 0, 1])))
    sure = adjusted([right] * 3, {0: 1.0}, {0: [None] * 3}, CALIBRATE)
    assert sure.calibration is not None
    assert (sure.calibration.temperature, sure.calibration.fitted) == (1.0, None)
    assert "no row is predicted wrong" in sure.notes[0]


@pytest.mark.parametrize("by_fold", [True, False])
def test_a_holdout_and_repeated_folds(by_fold: bool) -> None:
    (block,) = blocks_of(1, 2000)
    found = adjusted([block] * (3 if by_fold else 1), {0: 1.0}, {0: [None] * 3}, CALIBRATE._replace(by_fold=by_fold))
    assert found.calibration is not None
    assert found.calibration.temperature == pytest.approx(2, rel=0.15)
    assert found.calibration.after.log_loss < found.calibration.before.log_loss
