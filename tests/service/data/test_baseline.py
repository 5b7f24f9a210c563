"""The score of the constant answer, against scikit-learn's dummies and against the metrics of trials."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics
from sklearn.dummy import DummyClassifier, DummyRegressor

from foldstep.models.catalog.metrics import METRICS, Direction, Metric, metrics_of
from foldstep.models.metrics import score_classes, score_values
from foldstep.service.contract.spec import CvSpec
from foldstep.service.data.baseline import baselines, class_formula, mean_over_folds, value_formula
from foldstep.service.data.fold_targets import FoldTargets

CLASSIFICATION, REGRESSION = metrics_of("classification"), metrics_of("regression")


def targets(
    target: Any, n_train: int, *, classes: int | None = None, exposure: Any = None, weight: Any = None
) -> FoldTargets:
    """One fold, whose first rows are its training part."""
    rows = np.arange(len(target))
    labels = None if classes is None else tuple("abcdefghijklmnop"[:classes])
    return FoldTargets(labels, np.asarray(target), exposure, [(rows[:n_train], rows[n_train:])], CvSpec(), None, weight)


def baseline(name: str, folds: FoldTargets) -> float:
    (score,) = baselines(METRICS[name], folds)
    return score


def _of_commonest_classes(name: str, train: Any, valid: Any, n_classes: int) -> float:
    """Score with scikit-learn, which takes the last of equally common classes first, so the classes are in reverse."""
    shares = np.bincount(train, minlength=n_classes)[::-1] / len(train)
    said, k = np.tile(shares, (len(valid), 1)), METRICS[name].within
    return float(metrics.top_k_accuracy_score(n_classes - 1 - valid, said, k=k, labels=range(n_classes)))


def dummy_score(name: str, train: Any, valid: Any, n_classes: int) -> float:
    """Score scikit-learn's constant answer with scikit-learn's metric."""
    strategy = dict.fromkeys(("log_loss", "roc_auc", "pr_auc", "brier"), "prior").get(name, "most_frequent")
    dummy = DummyClassifier(strategy=strategy)
    if name == "f1" and n_classes == 2:
        dummy = DummyClassifier(strategy="constant", constant=1)
    if name == "ordinal_mae":
        dummy = DummyClassifier(strategy="constant", constant=np.quantile(train, 0.5, method="inverted_cdf"))
    dummy.fit(np.zeros((len(train), 1)), train)
    said, p = dummy.predict(np.zeros((len(valid), 1))), dummy.predict_proba(np.zeros((len(valid), 1)))
    if name == "roc_auc":
        return float(metrics.roc_auc_score(valid, p[:, 1] if n_classes == 2 else p, multi_class="ovr"))
    if name == "pr_auc":
        return float(
            metrics.average_precision_score(*(valid, p[:, 1]) if n_classes == 2 else (np.eye(n_classes)[valid], p))
        )
    if name == "brier":
        return float(metrics.brier_score_loss(valid, p[:, 1] if n_classes == 2 else p))
    if name == "log_loss":
        return float(metrics.log_loss(valid, p, labels=list(range(n_classes))))
    if name == "f1":
        return float(metrics.f1_score(valid, said, average="binary" if n_classes == 2 else "macro"))
    plain = {
        "accuracy": metrics.accuracy_score, "balanced_accuracy": metrics.balanced_accuracy_score,
        "ordinal_mae": metrics.mean_absolute_error, "mcc": metrics.matthews_corrcoef,
    }  # fmt: skip
    return float(plain[name](valid, said))


@pytest.mark.parametrize("name", CLASSIFICATION)
@given(n_classes=st.integers(2, 5), n=st.integers(0, 40), seed=st.integers(0, 10_000))
def test_of_classes_it_is_what_scikit_learns_dummy_scores(name: str, n_classes: int, n: int, seed: int) -> None:
    rng, n_classes = np.random.default_rng(seed), n_classes + METRICS[name].within - 1
    p = rng.dirichlet(np.ones(n_classes))
    train, valid = (np.concatenate([np.arange(n_classes), rng.choice(n_classes, n, p=p)]) for _ in range(2))
    found = baseline(name, targets(np.concatenate([train, valid]), len(train), classes=n_classes))
    oracle = dummy_score if METRICS[name].within == 1 else _of_commonest_classes
    assert found == pytest.approx(oracle(name, train, valid, n_classes), rel=1e-12)


@pytest.mark.parametrize("name", REGRESSION)
@given(n=st.integers(2, 40), seed=st.integers(0, 10_000))
def test_of_numbers_it_is_what_scikit_learns_dummy_scores(name: str, n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    train, valid = rng.gamma(0.5, size=n + 1), rng.gamma(0.5, size=n)
    dummy = DummyRegressor(strategy="median" if name == "mae" else "mean")
    if name == "pinball":
        dummy = DummyRegressor(strategy="constant", constant=np.quantile(train, 0.5, method="inverted_cdf"))
    if name == "mape":
        by_rate = np.argsort(train)
        weight = np.cumsum((1 / train)[by_rate])
        constant = train[by_rate][np.searchsorted(weight, weight[-1] / 2)]
        dummy = DummyRegressor(strategy="constant", constant=constant)
    if name == "rmsle":
        dummy = DummyRegressor(strategy="constant", constant=np.expm1(np.log1p(train).mean()))
    dummy.fit(np.zeros((n + 1, 1)), train)
    oracle = {
        "rmse": metrics.root_mean_squared_error, "mse": metrics.mean_squared_error, "r2": metrics.r2_score,
        "mae": metrics.mean_absolute_error, "poisson_deviance": metrics.mean_poisson_deviance,
        "pinball": metrics.mean_pinball_loss,
        "gamma_deviance": metrics.mean_gamma_deviance,
        "tweedie_deviance": partial(metrics.mean_tweedie_deviance, power=1.5),
        "mape": metrics.mean_absolute_percentage_error, "rmsle": metrics.root_mean_squared_log_error,
    }[name]  # fmt: skip
    expected = oracle(valid, dummy.predict(np.zeros((n, 1))))
    assert baseline(name, targets(np.concatenate([train, valid]), n + 1)) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("name", CLASSIFICATION)
@given(n_classes=st.integers(2, 5), seed=st.integers(0, 10_000))
def test_a_constant_network_scores_it_and_none_scores_better_on_the_training_part(
    name: str, n_classes: int, seed: int
) -> None:
    """Training and validation part are equal here, so the best constant of the one is the best of the other."""
    rng, n_classes = np.random.default_rng(seed), n_classes + METRICS[name].within - 1
    part = np.concatenate([np.arange(n_classes), rng.integers(0, n_classes, 20)])
    found = baseline(name, targets(np.tile(part, 2), len(part), classes=n_classes))
    shares = np.bincount(part) / len(part)
    constants = [*np.eye(n_classes), shares, *rng.dirichlet(np.ones(n_classes), 20)]
    logits = np.log(np.clip(constants, 1e-30, None))[:, :, None].repeat(len(part), axis=2)
    scores = score_classes(name, torch.from_numpy(logits), torch.from_numpy(part)).tolist()
    direction = METRICS[name].direction
    best = min(scores, key=direction.loss_of)
    assert found == pytest.approx(best, rel=1e-9)


@pytest.mark.parametrize("name", REGRESSION)
@pytest.mark.parametrize("exposed", [False, True])
@given(n=st.integers(2, 30), seed=st.integers(0, 10_000))
def test_no_other_constant_scores_better_on_the_training_part(name: str, exposed: bool, n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    exposure = rng.uniform(0.2, 3.0, n) if exposed else np.ones(n)
    part = rng.poisson(2.0 * exposure).astype(float) + np.linspace(0.01, 0.1, n)
    doubled = np.tile(exposure, 2) if exposed else None
    found = baseline(name, targets(np.tile(part, 2), n, exposure=doubled))
    rates = np.concatenate([part / exposure, np.linspace(0.01, 6.0, 300), [part.sum() / exposure.sum()]])
    scores = score_values(name, torch.from_numpy(rates[:, None] * exposure), torch.from_numpy(part)).tolist()
    direction = METRICS[name].direction
    best = min(direction.loss_of(score) for score in scores)
    assert direction.loss_of(found) <= best + 1e-9, "the constant is the best one"
    greatest = max(6.0, float((part / exposure).max()))
    steps = np.concatenate([np.linspace(0, 6.0, 20_001), np.linspace(6.0, greatest, 20_001)])
    closest = score_values(name, torch.from_numpy(steps[:, None] * exposure), torch.from_numpy(part)).tolist()
    assert direction.loss_of(found) == pytest.approx(min(map(direction.loss_of, closest)), abs=2e-3), "and reached"


@pytest.mark.parametrize("name", METRICS)
@given(seed=st.integers(0, 10_000), exposed=st.booleans())
def test_a_row_of_weight_3_is_there_three_times(name: str, seed: int, exposed: bool) -> None:
    rng, n = np.random.default_rng(seed), 21
    is_class = METRICS[name].task == "classification"
    part = np.append([0, 1, 2], rng.integers(0, 3, n - 3)) if is_class else rng.gamma(2.0, size=n)
    exposure = rng.uniform(0.2, 3.0, 2 * n) if exposed and not is_class else None
    weight, both = np.tile(2 * rng.integers(0, 3, n) + 1, 2), np.tile(part, 2)  # odd: the median is that of one row
    found = baseline(name, targets(both, n, classes=3 if is_class else None, exposure=exposure, weight=weight / 8))
    twice = np.repeat(np.arange(2 * n), weight)
    kept = None if exposure is None else exposure[twice]
    folds = targets(both[twice], int(weight[:n].sum()), classes=3 if is_class else None, exposure=kept)
    assert found == pytest.approx(baseline(name, folds), rel=1e-9)


def test_quantiles_are_those_of_the_training_part() -> None:
    target, rows = np.random.default_rng(0).gamma(2.0, size=50), np.arange(50)
    levels = (0.1, 0.5, 0.9)
    folds = FoldTargets(None, target, None, [(rows[:30], rows[30:])], CvSpec(), None, levels=levels)
    said = np.quantile(target[:30], levels, method="inverted_cdf")
    oracle = [
        metrics.mean_pinball_loss(target[30:], np.full(20, q), alpha=a) for q, a in zip(said, levels, strict=True)
    ]
    assert baseline("pinball", folds) == pytest.approx(np.mean(oracle))


def test_a_class_that_the_training_part_lacks_leaves_log_loss_finite() -> None:
    found = baseline("log_loss", targets([0, 0, 0, 0, 1, 0], 4, classes=2))
    assert found == pytest.approx(-(math.log(0.5 / 4.5) + math.log(4 / 4.5)) / 2)


def test_counts_that_are_all_zero_have_a_deviance() -> None:
    assert baseline("poisson_deviance", targets(np.zeros(6), 3)) == pytest.approx(2e-9)
    assert baseline("poisson_deviance", targets([1.0, 3.0, 0.0, 0.0], 2)) == pytest.approx(4.0)


def test_it_is_the_mean_of_the_folds() -> None:
    assert mean_over_folds([0.1, 0.2, 0.4]) == math.fsum((0.1, 0.2, 0.4)) / 3
    assert mean_over_folds([1e308, 1e308]) == math.inf


@pytest.mark.parametrize("toy", [
    Metric("toy", "", "classification", Direction.MAXIMIZE),
    Metric("toy", "", "regression", Direction.MINIMIZE),
    Metric("toy", "", "regression", Direction.MINIMIZE, mean_of="squares"),
])  # fmt: skip
def test_a_metric_without_a_constant_answer_is_an_error(toy: Metric) -> None:
    find = class_formula if toy.task == "classification" else value_formula
    with pytest.raises(NotImplementedError, match="no constant answer for the metric toy"):
        find(toy)
