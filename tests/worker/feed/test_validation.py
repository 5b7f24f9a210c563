"""Scores and losses on validation rows: the compiled library's sums against the metrics themselves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from foldstep.models.catalog.metrics import METRICS, metrics_of
from foldstep.models.hyperparameters import resolve
from foldstep.worker.steps.engine import Engine
from foldstep.worker.train.loop import Training
from foldstep.worker.train.member import Member
from foldstep.worker.train.trainer import PackTrainer
from tests.worker.train.data import source

CPU = torch.device("cpu")
CLASSES, VALUES = source("digits", n_rows=700, folds=3), source("diabetes", n_rows=440, folds=3, exposure=True)
N_DIGITS = 10
OF_CLASSES: list[dict[str, Any]] = [
    {"hidden": [16], "activation": "tanh"},
    {"hidden": [7, 5], "label_smoothing": 0.2},
    {"hidden": [], "class_weight": "balanced"},
    {"hidden": [9], "class_weight": {"3": 4.0}, "ema_decay": 0.5},
]
OF_VALUES: list[dict[str, Any]] = [
    {"hidden": [16]},
    {"hidden": [7, 5], "loss": "mae"},
    {"hidden": [], "loss": "huber", "huber_delta": 0.3},
    {"hidden": [9], "loss": "poisson", "ema_decay": 0.5},
]


def trainer(metric: str, *, may_compile: bool, dtype: torch.dtype = torch.float64) -> PackTrainer:
    """A pack after an epoch."""
    data, mix = (CLASSES, OF_CLASSES) if metric in metrics_of("classification") else (VALUES, OF_VALUES)
    these = [Member(t, f, resolve({"batch_size": 32, **hp})) for t, hp in enumerate(mix) for f in range(3)]
    made = Training(data, metric, Engine(CPU, 1 << 30, dtype, may_compile)).trainer(these)
    made.train_epoch(1)
    return made


@pytest.mark.parametrize("metric", [name for name, metric in METRICS.items() if metric.within < N_DIGITS])
def test_the_library_scores_as_the_metrics_do(metric: str) -> None:
    compiled, eager = (trainer(metric, may_compile=may_compile) for may_compile in (True, False))
    np.testing.assert_allclose(compiled.evaluate(), eager.evaluate(), rtol=1e-9)
    np.testing.assert_allclose(compiled.diagnostics._valid_loss, eager.diagnostics._valid_loss, rtol=1e-9)
    assert len(set(eager.evaluate().tolist())) > 6, "a metric that says nothing would agree with anything"


@pytest.mark.parametrize("metric", sorted(name for name, metric in METRICS.items() if metric.mean_of))
@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_an_output_that_is_not_finite_gives_a_score_that_is_not(metric: str, number: float) -> None:
    compiled = trainer(metric, may_compile=True, dtype=torch.float32)
    before = compiled.evaluate()
    ill = 5
    for layer, name, view in compiled.scored_weights.views(compiled.net.layout, ill):
        if name == "bias" and layer == compiled.net.layout.slots[ill].depth:
            view[-1] = number  # of one output, the last
    after = compiled.evaluate()
    assert not torch.isfinite(after[ill])
    healthy = [i for i in range(len(before)) if i != ill]
    assert torch.equal(after[healthy], before[healthy])


def test_the_first_of_equal_outputs_is_the_class() -> None:
    """As `argmax` has it: a network of zeros says the first class of every row."""
    compiled = trainer("accuracy", may_compile=True, dtype=torch.float32)
    for stack in (compiled.net.parameters, compiled.scored_weights):
        stack.buffer.zero_()
    shares = [(fold.valid.truth == 0).double().mean().item() for fold in compiled._folds]
    assert compiled.evaluate().tolist() == [shares[s.group] for s in compiled.net.layout.slots]


@pytest.mark.parametrize("may_compile", [True, False])
def test_the_best_weights_are_those_that_were_scored(may_compile: bool) -> None:
    pack = trainer("accuracy", may_compile=may_compile)
    is_best = torch.tensor([i % 3 == 0 for i in range(len(pack.members))])
    pack.keep_best(is_best)
    scored = [pack.scored_weights.take(pack.net.layout, i) for i in range(len(is_best))]
    pack.train_epoch(2)
    for i, best in enumerate(is_best.tolist()):
        kept = pack.best_of(i)
        for layer, expected in zip(kept, scored[i], strict=True):
            for name, values in layer.items():
                assert np.array_equal(values, expected[name] if best else np.zeros_like(values))
