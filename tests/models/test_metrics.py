"""Every metric against scikit-learn, for packs of random predictions."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from foldstep.models.catalog.metrics import METRICS, Direction, Metric, metrics_of
from foldstep.models.metrics import finish, score_classes, score_of, score_values


def _top_accuracy(k: int, truth: np.ndarray, p: np.ndarray) -> float:
    """Score with scikit-learn, which takes the last of equal classes first, so the classes are in reverse."""
    last = p.shape[1] - 1
    return float(metrics.top_k_accuracy_score(last - truth, p[:, ::-1], k=k, labels=range(last + 1)))


def _more_classes(name: str, n_classes: int) -> int:
    """Add the classes that a metric needs."""
    return n_classes if METRICS[name].within == 1 else n_classes + METRICS[name].within - 1


ORACLES = {
    "accuracy": lambda y, p: metrics.accuracy_score(y, p.argmax(1)),
    **{f"top_{k}_accuracy": partial(_top_accuracy, k) for k in (2, 3, 5, 10)},
    "balanced_accuracy": lambda y, p: metrics.balanced_accuracy_score(y, p.argmax(1)),
    "f1": lambda y, p: metrics.f1_score(y, p.argmax(1), average="binary" if p.shape[1] == 2 else "macro"),
    "log_loss": lambda y, p: metrics.log_loss(y, p, labels=list(range(p.shape[1]))),
    "roc_auc": lambda y, p: (
        metrics.roc_auc_score(y, p[:, 1] - p[:, 0])
        if p.shape[1] == 2
        else metrics.roc_auc_score(y, p, multi_class="ovr")
    ),
    "pr_auc": lambda y, p: metrics.average_precision_score(
        *(y, p[:, 1] - p[:, 0]) if p.shape[1] == 2 else (np.eye(p.shape[1])[y], p)
    ),
    "mcc": lambda y, p: metrics.matthews_corrcoef(y, p.argmax(1)),
    "brier": lambda y, p: metrics.brier_score_loss(y, p[:, 1] if p.shape[1] == 2 else p),
    "mape": metrics.mean_absolute_percentage_error,
    "rmsle": metrics.root_mean_squared_log_error,
    "ordinal_mae": lambda y, p: metrics.mean_absolute_error(y, p.argmax(1)),
    "rmse": metrics.root_mean_squared_error,
    "mse": metrics.mean_squared_error,
    "mae": metrics.mean_absolute_error,
    "r2": metrics.r2_score,
    "pinball": metrics.mean_pinball_loss,
    "poisson_deviance": metrics.mean_poisson_deviance,
    "gamma_deviance": metrics.mean_gamma_deviance,
    "tweedie_deviance": partial(metrics.mean_tweedie_deviance, power=1.5),
}


@pytest.mark.parametrize("name", metrics_of("classification"))
@given(n_classes=st.integers(2, 5), n_rows=st.integers(6, 60), seed=st.integers(0, 10_000), ties=st.booleans())
def test_class_metrics_equal_scikit_learn(name: str, n_classes: int, n_rows: int, seed: int, ties: bool) -> None:
    rng, n_classes = np.random.default_rng(seed), _more_classes(name, n_classes)
    logits = rng.normal(size=(3, n_classes, n_rows))
    logits = logits.round(0) if ties else logits
    truth = np.concatenate([np.arange(n_classes), rng.integers(0, n_classes, n_rows)])[:n_rows]
    if len(set(truth)) < n_classes:
        return  # scikit-learn's roc_auc wants every class
    scores = score_classes(name, torch.from_numpy(logits), torch.from_numpy(truth))
    by_row = torch.from_numpy(logits).transpose(1, 2).contiguous()
    probabilities = torch.softmax(by_row, dim=2).transpose(1, 2).numpy()
    # the oracle sees what the metric sees: softmax may join different logits
    asks_probabilities = name in ("log_loss", "brier") or (name in ("roc_auc", "pr_auc") and n_classes > 2)
    for member, score in zip(probabilities if asks_probabilities else logits, scores.tolist(), strict=True):
        assert score == pytest.approx(ORACLES[name](truth, member.T), abs=1e-9)


@pytest.mark.parametrize("name", metrics_of("regression"))
@given(n_rows=st.integers(2, 60), seed=st.integers(0, 10_000))
def test_value_metrics_equal_scikit_learn(name: str, n_rows: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth, predictions = rng.gamma(2.0, size=n_rows), rng.gamma(2.0, size=(3, n_rows)) + 1e-3
    scores = score_values(name, torch.from_numpy(predictions), torch.from_numpy(truth))
    for member, score in zip(predictions, scores.tolist(), strict=True):
        assert score == pytest.approx(ORACLES[name](truth, member), rel=1e-9)


@pytest.mark.parametrize("name", METRICS)
@given(n_classes=st.integers(2, 4), seed=st.integers(0, 10_000), ties=st.booleans())
def test_rows_count_by_their_weights(name: str, n_classes: int, seed: int, ties: bool) -> None:
    """A weight of 2 is a row that is there twice, whatever the unit of the weights."""
    rng, n = np.random.default_rng(seed), 24
    weights = rng.integers(1, 4, n)
    n_classes, is_class = _more_classes(name, n_classes), METRICS[name].task == "classification"
    truth = np.arange(n) % n_classes if is_class else rng.gamma(2.0, size=n)
    said = rng.normal(size=(2, n_classes, n)).round(0 if ties else 9) if is_class else rng.gamma(2.0, size=(2, n)) + 0.1
    score = score_classes if is_class else score_values
    found = score(name, torch.from_numpy(said), torch.from_numpy(truth), torch.from_numpy(weights / 3))
    twice = np.repeat(np.arange(n), weights)
    expected = score(name, torch.from_numpy(np.ascontiguousarray(said[..., twice])), torch.from_numpy(truth[twice]))
    assert found.tolist() == pytest.approx(expected.tolist(), rel=1e-9)


@given(seed=st.integers(0, 1000))
def test_the_pinball_loss_of_several_quantiles_is_the_mean_of_theirs(seed: int) -> None:
    rng, levels = np.random.default_rng(seed), (0.1, 0.5, 0.75)
    truth, said, weights = rng.normal(size=30), rng.normal(size=(2, 3, 30)), rng.uniform(0.1, 3, 30)
    found = score_values("pinball", *map(torch.from_numpy, (said, truth, weights)), levels)
    oracle = [
        [metrics.mean_pinball_loss(truth, p, sample_weight=weights, alpha=level)
         for p, level in zip(member, levels, strict=True)]
        for member in said
    ]  # fmt: skip
    assert found.tolist() == pytest.approx(np.mean(oracle, axis=1).tolist())


def test_a_member_that_is_not_finite_has_no_score_and_its_neighbour_has() -> None:
    logits = torch.randn(2, 3, 10)
    logits[0, 1, 4] = float("nan")
    scores = score_classes("accuracy", logits, torch.zeros(10, dtype=torch.int64))
    assert scores.isnan().tolist() == [True, False]


@given(n_classes=st.integers(2, 6), n_rows=st.integers(7, 60), seed=st.integers(0, 10_000))
def test_equal_predictions_of_all_rows_have_a_roc_auc_of_a_half(n_classes: int, n_rows: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    logits = torch.from_numpy(rng.normal(size=(3, n_classes, 1)).repeat(n_rows, axis=2))
    truth = torch.from_numpy(np.arange(n_rows) % n_classes)
    assert score_classes("roc_auc", logits, truth).tolist() == pytest.approx([0.5] * 3, abs=1e-12)


def test_of_equal_logits_the_first_class_is_predicted() -> None:
    logits = torch.tensor([[[1.0, 0.0, 2.0], [1.0, 0.0, 3.0], [0.0, 0.0, 3.0]]])  # (members, classes, rows)
    for truth, hits in (([0, 0, 1], 3), ([1, 1, 2], 0), ([0, 2, 1], 2)):
        assert score_classes("accuracy", logits, torch.tensor(truth)).item() == pytest.approx(hits / 3)


TOYS = [
    Metric("toy", "", "classification", Direction.MAXIMIZE),
    Metric("toy", "", "regression", Direction.MINIMIZE),
    Metric("toy", "", "regression", Direction.MINIMIZE, mean_of="squares"),
    Metric("toy", "", "classification", Direction.MAXIMIZE, mean_of="right"),
]


@pytest.mark.parametrize("toy", TOYS, ids=repr)
def test_a_metric_without_a_function_is_refused(toy: Metric) -> None:
    """Importing `models/metrics.py` asks so for every metric of the table."""
    with pytest.raises(NotImplementedError, match="toy"):
        score_of(toy)


def test_a_metric_of_errors_needs_a_function_even_where_the_mean_is_of_right_predictions() -> None:
    with pytest.raises(KeyError):
        finish("f1", torch.zeros(1), torch.zeros(1))


@pytest.mark.parametrize("name", METRICS)
def test_the_entry_tells_the_truth(name: str) -> None:
    """A better prediction has the better score; scores of perfect ones are 1 where the entry says so."""
    metric = METRICS[name]
    truth = torch.tensor([0, 1, 2, 1, 0, 2])
    if metric.task == "classification":
        perfect = 20.0 * torch.nn.functional.one_hot(truth, _more_classes(name, 3)).double().T
        good, bad = score_classes(name, torch.stack([perfect, -perfect]), truth).tolist()
    else:
        values = truth.double() + 1
        good, bad = score_values(name, torch.stack([values, values.flip(0) + 1]), values).tolist()
    assert metric.direction.is_better(good, than=bad)
    assert not metric.direction.is_better(bad, than=good)
    assert not metric.direction.is_better(good, than=good)
    assert (good == pytest.approx(1.0)) == metric.is_at_most_one
    assert metric.direction.score_of(metric.direction.loss_of(bad)) == bad


@pytest.mark.parametrize("name", [name for name, metric in METRICS.items() if metric.mean_of])
@given(seed=st.integers(0, 1000))
def test_a_mean_over_the_rows_decides_the_metric(name: str, seed: int) -> None:
    rng = torch.Generator().manual_seed(seed)
    metric = METRICS[name]
    if metric.task == "classification":
        outputs, truth = torch.rand(2, 3, 9, generator=rng), torch.randint(0, 3, (9,), generator=rng)
        whole = score_classes(name, outputs, truth)
        rows = {"right": (outputs.argmax(dim=1) == truth).double()}
    else:
        outputs, truth = (torch.rand(*shape, generator=rng, dtype=torch.float64) for shape in ((2, 9), (9,)))
        whole = score_values(name, outputs, truth)
        rows = {"squares": (outputs - truth) ** 2, "distances": (outputs - truth).abs()}
    assert metric.mean_of is not None
    found = finish(name, rows[metric.mean_of].mean(dim=1), truth.double().var(correction=0))
    assert found.tolist() == pytest.approx(whole.tolist())
