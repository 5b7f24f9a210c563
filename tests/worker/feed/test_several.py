"""Scores of several targets against scikit-learn, which averages them over outputs and labels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from sklearn import metrics

from foldstep.models.catalog.metrics import metrics_of, metrics_of_numbers
from foldstep.models.catalog.preparation import Preparation
from foldstep.service.contract.columns import CategoryColumn, NumberColumn
from foldstep.worker.data.target import TargetCoder
from foldstep.worker.data.targets import encode, fit, truth
from foldstep.worker.feed.sample import Part

RNG = np.random.default_rng(0)
ROWS = np.arange(40)
WEIGHT = RNG.uniform(0.1, 3.0, 40)
NUMBERS = [NumberColumn(values) for values in (RNG.normal(5, 2, 40), RNG.gamma(2, 1000, 40), RNG.uniform(1, 2, 40))]
WORDS = CategoryColumn(RNG.integers(2, size=40, dtype=np.int32), ("a", "b"))
LABELS = [NumberColumn(RNG.integers(2, size=40) * 2.0), WORDS]
_Score = Callable[..., Any]


def of_each(score: _Score, y: np.ndarray, said: np.ndarray, **more: Any) -> float:
    return float(np.mean([score(y[:, t], said[:, t], **more) for t in range(y.shape[1])]))


OF_NUMBERS: dict[str, _Score] = {
    "r2": metrics.r2_score,
    "rmse": metrics.root_mean_squared_error,
    "mse": metrics.mean_squared_error,
    "mae": metrics.mean_absolute_error,
}
OF_LABELS: dict[str, _Score] = {
    "accuracy": lambda y, p, w: 1 - metrics.hamming_loss(y, p > 0.5, sample_weight=w),
    "balanced_accuracy": lambda y, p, w: of_each(metrics.balanced_accuracy_score, y, p > 0.5, sample_weight=w),
    "f1": lambda y, p, w: metrics.f1_score(y, p > 0.5, average="macro", sample_weight=w),
    "roc_auc": lambda y, p, w: metrics.roc_auc_score(y, p, average="macro", sample_weight=w),
    "pr_auc": lambda y, p, w: metrics.average_precision_score(y, p, average="macro", sample_weight=w),
    "mcc": lambda y, p, w: of_each(metrics.matthews_corrcoef, y, p > 0.5, sample_weight=w),
    "brier": lambda y, p, w: of_each(metrics.brier_score_loss, y, p, sample_weight=w),
    "log_loss": lambda y, p, w: of_each(metrics.log_loss, y, p, sample_weight=w),
}


@pytest.mark.parametrize("metric", OF_NUMBERS)
@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["alike", "weighted"])
def test_scores_of_numbers_are_averaged_over_the_targets(metric: str, weight: np.ndarray | None) -> None:
    assert set(OF_NUMBERS) == set(metrics_of_numbers())
    coder = fit(NUMBERS, ROWS[:30], "regression", Preparation(target_transform="yeo_johnson", clamps=True))
    y = truth(coder, NUMBERS, ROWS)
    outputs = RNG.normal(size=(2, 3, 40))
    part = part_of(coder, y, weight)
    expected = [OF_NUMBERS[metric](y, coder.values(said, None).T, sample_weight=weight) for said in outputs]
    assert part.score(metric, torch.from_numpy(outputs)).tolist() == pytest.approx(expected, rel=1e-9)
    own = torch.stack(part.own_scores(metric, torch.from_numpy(outputs)), dim=1)
    said = coder.values(outputs[0], None).T
    assert own[0].tolist() == pytest.approx(
        [OF_NUMBERS[metric](y[:, t], said[:, t], sample_weight=weight) for t in range(3)], rel=1e-9
    )


@pytest.mark.parametrize("metric", OF_LABELS)
@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["alike", "weighted"])
def test_scores_of_labels_are_averaged_over_the_labels(metric: str, weight: np.ndarray | None) -> None:
    assert set(OF_LABELS) == set(metrics_of("multilabel"))
    coder = fit(LABELS, ROWS, "multilabel", Preparation())
    y = truth(coder, LABELS, ROWS)
    outputs = RNG.normal(size=(2, 2, 40))
    expected = [OF_LABELS[metric](y, 1 / (1 + np.exp(-said.T)), weight) for said in outputs]
    assert part_of(coder, y, weight).score(metric, torch.from_numpy(outputs)).tolist() == pytest.approx(expected)


def part_of(coder: TargetCoder, y: np.ndarray, weight: np.ndarray | None) -> Part:
    return Part(coder, torch.from_numpy(y), None, None if weight is None else torch.from_numpy(weight))


def test_the_targets_of_a_loss_are_what_networks_learn() -> None:
    for columns, task in ((NUMBERS, "regression"), (LABELS, "multilabel")):
        coder = fit(columns, ROWS[:30], task, Preparation())  # type: ignore[arg-type]
        targets = part_of(coder, truth(coder, columns, ROWS), None).targets(48)  # type: ignore[arg-type]
        learned = encode(coder, columns, ROWS)  # type: ignore[arg-type]
        np.testing.assert_allclose(targets[:, :40].T, learned, rtol=1e-5, atol=1e-6)
        assert targets.shape == (len(columns), 48)
        assert TargetCoder.from_json(coder.to_json()) == coder


def test_constant_outputs_are_the_log_odds_of_the_labels_shares() -> None:
    coder = fit(LABELS, ROWS, "multilabel", Preparation())
    y = truth(coder, LABELS, ROWS)
    shares = np.average(y, axis=0, weights=WEIGHT)
    assert part_of(coder, y, WEIGHT).chance().tolist() == pytest.approx(np.log(shares / (1 - shares)).tolist())
