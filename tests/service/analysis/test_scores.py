"""The scores of predictions, which choose ensembles, against those of networks in training, for every metric."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from foldstep.models.catalog.metrics import METRICS
from foldstep.models.metrics import score_classes, score_values
from foldstep.service.analysis.scores import Truth, check_all, scores

N_ANSWERS, N_ROWS = 4, 300
CLASSES = [name for name, metric in METRICS.items() if metric.task == "classification"]
VALUES = [name for name, metric in METRICS.items() if metric.task == "regression"]
WEIGHTED = pytest.mark.parametrize("is_weighted", [False, True], ids=["equal rows", "weighted rows"])


def _weights(generator: np.random.Generator, is_weighted: bool) -> np.ndarray | None:
    return generator.uniform(0.1, 3, N_ROWS) if is_weighted else None


def _tensor(array: np.ndarray | None) -> torch.Tensor | None:
    return None if array is None else torch.from_numpy(array)


def _softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


@WEIGHTED
@pytest.mark.parametrize("n_classes", [2, 4])
@pytest.mark.parametrize("name", CLASSES)
def test_classes_score_as_in_training(name: str, n_classes: int, is_weighted: bool) -> None:
    generator = np.random.default_rng(3)
    truth = generator.integers(0, n_classes, N_ROWS)
    logits = generator.normal(0, 1, (N_ANSWERS, n_classes, N_ROWS)) + 0.5 * (truth == np.arange(n_classes)[:, None])
    if n_classes == 2:  # rows tie; of more classes their probabilities would only do so within rounding
        logits = np.stack([np.zeros_like(logits[:, 0]), logits[:, 1].round()], axis=1)
    weight = _weights(generator, is_weighted)
    expected = score_classes(name, torch.from_numpy(logits), torch.from_numpy(truth), _tensor(weight))
    found = scores(name, "classification", _softmax(logits), Truth(truth, weight))
    np.testing.assert_allclose(found, expected, rtol=1e-9)


@WEIGHTED
@pytest.mark.parametrize("name", VALUES)
def test_values_score_as_in_training(name: str, is_weighted: bool) -> None:
    generator = np.random.default_rng(4)
    truth = generator.uniform(0.5, 5, N_ROWS)
    said = truth + generator.normal(0, 2, (N_ANSWERS, N_ROWS))
    weight = _weights(generator, is_weighted)
    expected = score_values(name, torch.from_numpy(said), torch.from_numpy(truth), _tensor(weight))
    np.testing.assert_allclose(scores(name, "regression", said[:, None], Truth(truth, weight)), expected, rtol=1e-9)


def test_quantiles_score_as_in_training() -> None:
    generator = np.random.default_rng(5)
    truth, levels = generator.normal(size=N_ROWS), (0.1, 0.5, 0.9)
    said = np.sort(generator.normal(size=(N_ANSWERS, 3, N_ROWS)), axis=1)
    expected = score_values("pinball", torch.from_numpy(said), torch.from_numpy(truth), None, levels)
    found = scores("pinball", "regression", said, Truth(truth, None, levels))
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_the_score_of_several_targets_is_the_mean_of_their_scores() -> None:
    generator = np.random.default_rng(6)
    truth = generator.normal(size=(N_ROWS, 2))
    said = generator.normal(size=(N_ANSWERS, 2, N_ROWS))
    each = [scores("r2", "regression", said[:, [t]], Truth(truth[:, t])) for t in range(2)]
    np.testing.assert_allclose(scores("r2", "regression", said, Truth(truth)), np.mean(each, axis=0))
    labels = (truth > 0).astype(np.int64)
    p = generator.uniform(size=(N_ANSWERS, 2, N_ROWS))
    both = [np.stack([1 - p[:, t], p[:, t]], axis=1) for t in range(2)]
    each = [scores("f1", "classification", both[t], Truth(labels[:, t])) for t in range(2)]
    np.testing.assert_allclose(scores("f1", "multilabel", p, Truth(labels)), np.mean(each, axis=0))


def test_ties_that_float32_makes_near_1_are_told_apart() -> None:
    """Two rows of which a network is very sure differ in the other class's probability alone."""
    said = np.array([[[1e-12, 1e-9, 0.9], [1.0, 1.0, 0.1]]], dtype=np.float32)
    assert scores("roc_auc", "classification", said, Truth(np.array([1, 0, 0])))[0] == 1.0


def test_a_metric_without_a_value_is_not_finite() -> None:
    said = np.full((1, 2, 3), 0.5)
    assert not np.isfinite(scores("roc_auc", "classification", said, Truth(np.array([1, 1, 1]))))[0]
    assert not np.isfinite(scores("r2", "regression", said[:, :1], Truth(np.array([1.0, 1.0, 1.0]))))[0]


def test_a_metric_without_a_function_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(METRICS, "new_metric", METRICS["rmse"])
    with pytest.raises(NotImplementedError, match="new_metric"):
        check_all(list(METRICS))
