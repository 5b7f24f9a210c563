"""Every metric against scikit-learn, for packs of random predictions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from foldstep.models.metrics import score_classes, score_values

ORACLES = {
    "accuracy": lambda y, p: metrics.accuracy_score(y, p.argmax(1)),
    "balanced_accuracy": lambda y, p: metrics.balanced_accuracy_score(y, p.argmax(1)),
    "f1": lambda y, p: metrics.f1_score(y, p.argmax(1), average="binary" if p.shape[1] == 2 else "macro"),
    "log_loss": lambda y, p: metrics.log_loss(y, p, labels=list(range(p.shape[1]))),
    "roc_auc": lambda y, p: (
        metrics.roc_auc_score(y, p[:, 1] - p[:, 0])
        if p.shape[1] == 2
        else metrics.roc_auc_score(y, p, multi_class="ovr")
    ),
    "rmse": metrics.root_mean_squared_error,
    "mse": metrics.mean_squared_error,
    "mae": metrics.mean_absolute_error,
    "r2": metrics.r2_score,
    "poisson_deviance": metrics.mean_poisson_deviance,
}


@pytest.mark.parametrize("name", ["accuracy", "balanced_accuracy", "f1", "log_loss", "roc_auc"])
@given(n_classes=st.integers(2, 5), n_rows=st.integers(6, 60), seed=st.integers(0, 10_000), ties=st.booleans())
def test_class_metrics_equal_scikit_learn(name: str, n_classes: int, n_rows: int, seed: int, ties: bool) -> None:
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(3, n_classes, n_rows))
    logits = logits.round(0) if ties else logits
    truth = np.concatenate([np.arange(n_classes), rng.integers(0, n_classes, n_rows)])[:n_rows]
    if len(set(truth)) < n_classes:
        return  # scikit-learn's roc_auc wants every class
    scores = score_classes(name, torch.from_numpy(logits), torch.from_numpy(truth))
    probabilities = torch.softmax(torch.from_numpy(logits), dim=1).numpy()
    # the oracle sees what the metric sees: softmax may part equal logits, and join different ones
    asks_probabilities = name == "log_loss" or (name == "roc_auc" and n_classes > 2)
    for member, score in zip(probabilities if asks_probabilities else logits, scores.tolist(), strict=True):
        assert score == pytest.approx(ORACLES[name](truth, member.T), abs=1e-9)


@pytest.mark.parametrize("name", ["rmse", "mse", "mae", "r2", "poisson_deviance"])
@given(n_rows=st.integers(2, 60), seed=st.integers(0, 10_000))
def test_value_metrics_equal_scikit_learn(name: str, n_rows: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth, predictions = rng.gamma(2.0, size=n_rows), rng.gamma(2.0, size=(3, n_rows)) + 1e-3
    scores = score_values(name, torch.from_numpy(predictions), torch.from_numpy(truth))
    for member, score in zip(predictions, scores.tolist(), strict=True):
        assert score == pytest.approx(ORACLES[name](truth, member), rel=1e-9)


def test_a_member_that_is_not_finite_has_no_score_and_its_neighbour_has() -> None:
    logits = torch.randn(2, 3, 10)
    logits[0, 1, 4] = float("nan")
    scores = score_classes("accuracy", logits, torch.zeros(10, dtype=torch.int64))
    assert scores.isnan().tolist() == [True, False]


def test_of_equal_logits_the_first_class_is_predicted() -> None:
    logits = torch.tensor([[[1.0, 0.0, 2.0], [1.0, 0.0, 3.0], [0.0, 0.0, 3.0]]])  # (members, classes, rows)
    for truth, hits in (([0, 0, 1], 3), ([1, 1, 2], 0), ([0, 2, 1], 2)):
        assert score_classes("accuracy", logits, torch.tensor(truth)).item() == pytest.approx(hits / 3)
