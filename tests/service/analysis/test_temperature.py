"""Temperatures of probabilities: against SciPy's minimiser and scikit-learn, and on ensembles of known confidence."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from scipy.optimize import minimize_scalar
from sklearn.metrics import brier_score_loss, log_loss

from foldstep.service.analysis.scores import Truth
from foldstep.service.analysis.temperature import (
    N_BINS,
    Rows,
    calibration,
    calibration_error,
    reliability,
    temperature_of,
)
from foldstep.service.contract.probabilities import tempered, unweighted

Floats = npt.NDArray[np.float64]


def rows_of(n: int, n_classes: int, confidence: float, seed: int, *, weighted: bool = False) -> Rows:
    """Rows whose true probabilities are known, and said with all logits times `confidence`."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(0, 1.5, (n, n_classes))
    true = softmax(logits)
    values = (true.cumsum(axis=1) < generator.uniform(size=(n, 1))).sum(axis=1)
    weight = generator.uniform(0.2, 3, n) if weighted else None
    return Rows(softmax(confidence * logits), Truth(values, weight))


def softmax(logits: Floats) -> Floats:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def in_fifths(rows: Rows) -> list[tuple[Rows, Rows]]:
    of = np.arange(len(rows.shares)) % 5
    return [(taken(rows, of != part), taken(rows, of == part)) for part in range(5)]


def taken(rows: Rows, which: npt.NDArray[np.bool_]) -> Rows:
    weight = None if rows.truth.weight is None else rows.truth.weight[which]
    return Rows(rows.shares[which], Truth(rows.truth.values[which], weight))


@pytest.mark.parametrize("n_classes", [2, 5])
@pytest.mark.parametrize("confidence", [0.3, 1.0, 4.0])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_temperature_is_the_one_with_the_least_log_loss(n_classes: int, confidence: float, weighted: bool) -> None:
    rows = rows_of(500, n_classes, confidence, seed=3, weighted=weighted)

    def loss(log_temperature: float) -> float:
        powers = rows.shares ** (1 / np.exp(log_temperature))
        shares = powers / powers.sum(axis=1, keepdims=True)
        labels = list(range(n_classes))
        return float(log_loss(rows.truth.values, shares, labels=labels, sample_weight=rows.truth.weight))

    expected = minimize_scalar(loss, bounds=(-3, 3), method="bounded", options={"xatol": 1e-8})
    assert temperature_of(rows) == pytest.approx(float(np.exp(expected.x)), rel=1e-5)


def test_no_temperature_where_the_rows_tell_none() -> None:
    """Where every row is right, the log loss falls without end; where the unlikely happens throughout, likewise."""
    sure = np.array([[0.8, 0.2], [0.3, 0.7]] * 10)
    assert temperature_of(Rows(sure, Truth(np.array([0, 1] * 10)))) is None
    assert temperature_of(Rows(sure, Truth(np.array([1, 0] * 10)))) is None
    zero = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.5, 0.5]])
    found = temperature_of(Rows(zero, Truth(np.array([0, 1, 1, 0]))))
    assert found is None or np.isfinite(found)


def test_tempering_keeps_the_order_and_what_is_missing() -> None:
    shares = softmax(np.random.default_rng(1).normal(size=(50, 4)))
    for temperature in (0.3, 2.5):
        found = tempered(shares, temperature)
        assert (found.argsort(axis=1) == shares.argsort(axis=1)).all()
        assert found.sum(axis=1) == pytest.approx(np.ones(50))
        assert (found.max(axis=1) > shares.max(axis=1)).all() == (temperature < 1)
        powers = shares ** (1 / temperature)
        assert found == pytest.approx(powers / powers.sum(axis=1, keepdims=True), rel=1e-12)
    assert tempered(shares, 1.0) is shares
    odd = tempered(np.array([[np.nan, np.nan], [1.0, 0.0]]), 2.0)
    assert np.isnan(odd[0]).all()
    assert odd[1] == pytest.approx([1, 0], abs=1e-12)


def test_the_calibration_error_is_that_of_a_loop_over_the_bins() -> None:
    rows = rows_of(400, 3, 2.0, seed=5, weighted=True)
    sure, weight = rows.shares.max(axis=1), rows.truth.counted
    right = rows.shares.argmax(axis=1) == rows.truth.values
    expected = 0.0
    for low in np.arange(N_BINS) / N_BINS:
        own = (sure > low) & (sure <= low + 1 / N_BINS)
        if own.any():
            gap = np.average(right[own], weights=weight[own]) - np.average(sure[own], weights=weight[own])
            expected += weight[own].sum() / weight.sum() * abs(gap)
    assert calibration_error(rows) == pytest.approx(expected, rel=1e-9)
    assert calibration_error(Rows(np.array([[1.0, 0.0]]), Truth(np.array([1])))) == 1.0


def test_figures_are_those_of_scikit_learn_and_bins_have_equally_many_rows() -> None:
    rows = rows_of(205, 2, 2.0, seed=6, weighted=True)
    found = reliability(rows)
    truth, weight = rows.truth.values, rows.truth.weight
    assert found.log_loss == pytest.approx(log_loss(truth, rows.shares, sample_weight=weight))
    assert found.brier == pytest.approx(brier_score_loss(truth, rows.shares[:, 1], sample_weight=weight))
    assert {one.n for one in found.curve} == {20, 21}
    assert sum(one.n for one in found.curve) == 205
    assert [one.probability for one in found.curve] == sorted(one.probability for one in found.curve)


def test_too_sure_an_ensemble_becomes_calibrated() -> None:
    """Logits are three times too great; on other rows the error is that of true probabilities.

    The calibration error of true probabilities of 4,000 rows is that of chance, about 15 bins of some 0.005 each.
    """
    rows, new = rows_of(4000, 3, 3.0, seed=7), rows_of(4000, 3, 3.0, seed=8)
    found = calibration(in_fifths(rows), rows)
    assert found is not None
    assert found.temperature == found.fitted == pytest.approx(3, rel=0.1)
    assert found.before.calibration_error > 0.1
    assert found.after.calibration_error < 0.03
    assert found.after.log_loss < found.before.log_loss - 0.3
    assert calibration_error(new.changed(lambda shares: tempered(shares, found.temperature))) < 0.03
    assert found.n_rows == 4000


def test_what_is_calibrated_already_stays() -> None:
    """Of 40 tables of true probabilities, temperatures win on rows that they were not fitted on in some by luck.

    Fitting costs half a unit of log likelihood in the mean, so they win in clearly less than half of the tables.
    """
    found = [calibration(in_fifths(rows), rows) for rows in (rows_of(300, 2, 1.0, seed) for seed in range(40))]
    known = [one for one in found if one is not None]
    left = [one for one in known if one.temperature == 1]
    assert len(known) == 40
    assert len(left) > 20
    assert all(one.after.log_loss >= one.before.log_loss for one in left)
    assert all(0.7 < one.temperature < 1.4 for one in known)


def test_the_figures_after_it_are_of_rows_that_had_no_part() -> None:
    rows = rows_of(100, 2, 2.0, seed=11)
    halves = in_fifths(rows)
    found = calibration(halves, rows)
    assert found is not None
    expected = 0.0
    for fitted_on, others in halves:
        temperature = temperature_of(fitted_on)
        assert temperature is not None
        own = tempered(others.shares, temperature)[np.arange(20), others.truth.values]
        expected -= np.log(own).sum() / 100
    assert found.after.log_loss == pytest.approx(expected)
    assert calibration([], rows) is None


def test_class_weights_are_undone_before_the_temperature() -> None:
    """A network that says p_w^c of true p, with p_w shifted by weights: only this order finds both."""
    rows = rows_of(6000, 2, 1.0, seed=12)
    weights = np.array([1.0, 8.0])
    sharpened = tempered(rows.shares, 0.5)  # twice too sure
    shifted = sharpened * weights
    said = shifted / shifted.sum(axis=1, keepdims=True)
    assert unweighted(said, weights) == pytest.approx(sharpened)
    right = Rows(unweighted(said, weights), rows.truth)
    temperature = temperature_of(right)
    assert temperature == pytest.approx(2, rel=0.1)
    wrong = Rows(said, rows.truth)
    other = temperature_of(wrong)
    of_wrong = unweighted(tempered(wrong.shares, other or 1.0), weights)
    assert calibration_error(Rows(tempered(right.shares, temperature or 1.0), rows.truth)) < 0.025
    assert calibration_error(Rows(of_wrong, rows.truth)) > 0.05
