"""`labels`: the real labels teach more than shuffled ones.

A permutation test (Ojala and Garriga 2010, "Permutation tests for studying classifier performance", test 1): the same
networks train on the real labels and on several shuffles of them, in lockstep, and are scored on the same validation
rows. Labels that were shuffled against their rows teach no more than another shuffle does.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from foldstep.models.hyperparameters import Hyperparameters
from foldstep.service.contract.checks import CheckResult
from foldstep.worker.checks.chance import constant_loss
from foldstep.worker.checks.setting import CheckSetting, Unwatched, Variant, steady
from foldstep.worker.data.inputs import FoldData
from foldstep.worker.train.member import Member

NAME = "labels"
N_SHUFFLES = 8
N_NETWORKS = 2
FEWEST_ROWS = 20
BATCH_SIZE = 64
N_STEPS, FEWEST_EPOCHS, MOST_EPOCHS = 120, 2, 20
CLEARLY_BETTER = 0.85
"""The real loss as a share of a constant answer's. In 50 tries on shuffled labels it was at least 0.89; in 24 on
real ones, weak ones among them (diabetes, where R² is at best about 0.5), at most 0.8."""
LEAST_SPREADS = 4.0
"""Alternatively, for weak labels of many rows: standard deviations of the shuffled losses by which the real loss lies
below their mean. With shuffled labels 1 of about 400 tries does (t distribution, 7 degrees of freedom)."""


def labels(setting: CheckSetting) -> CheckResult:
    """Train on real and on shuffled labels, and compare the losses on the validation rows."""
    data = setting.data(setting.candidates[0])
    if min(len(data.y_train), len(data.y_valid)) < FEWEST_ROWS:
        sentence = f"Fewer than {FEWEST_ROWS} rows to train on or to validate on are too few to tell."
        return CheckResult(name=NAME, outcome="skipped", sentence=sentence)
    losses = validation_losses(setting)
    real, shuffled = losses[0], np.array(losses[1:])
    if not math.isfinite(real) or not np.isfinite(shuffled).all():
        return CheckResult(name=NAME, outcome="skipped", sentence="A network diverged, so there is nothing to compare.")
    constant = _constant(setting)
    mean, spread = float(shuffled.mean()), float(shuffled.std(ddof=1))
    is_far = mean - real >= LEAST_SPREADS * spread
    is_clear = real <= CLEARLY_BETTER * constant
    has_passed = real < shuffled.min() and (is_far or is_clear)
    sentence = (
        f"On rows that were not trained on, the loss is {real:.4g} with the real labels and {mean:.4g} ± {spread:.2g} "
        f"with shuffled ones; a constant answer has {constant:.4g}."
    )
    return CheckResult(
        name=NAME,
        outcome="passed" if has_passed else "failed",
        sentence=sentence,
        look_at=None if has_passed else _LOOK_AT,
        numbers={"real": real, "shuffled": mean, "spread": spread, "constant": constant},
    )


_LOOK_AT = (
    "Look at the data: labels may have been shuffled against their rows, as when two tables are joined in the wrong "
    "order; it can also mean that the features say nothing about the target, or too little for so few rows."
)


def validation_losses(setting: CheckSetting) -> list[float]:
    """Find the best loss of the networks on the validation rows: with the real labels, then with each shuffle."""
    training = setting.training([_shuffled(setting.seed, i) for i in range(N_SHUFFLES + 1)])
    shallow = sorted(setting.candidates, key=lambda hp: len(hp.hidden))[:N_NETWORKS]  # they learn soonest
    networks = [_learning(setting, hp) for hp in shallow]
    members = [Member(number, fold, hp) for number, hp in enumerate(networks) for fold in range(N_SHUFFLES + 1)]
    training.train(members, Unwatched())
    return [_least(m for m in members if m.fold == fold) for fold in range(N_SHUFFLES + 1)]


def _learning(setting: CheckSetting, hp: Hyperparameters) -> Hyperparameters:
    n_steps = math.ceil(len(setting.data(hp).y_train) / BATCH_SIZE)
    epochs = min(max(N_STEPS // n_steps, FEWEST_EPOCHS), MOST_EPOCHS)
    return steady(replace(hp, optimizer="adam"), batch_size=BATCH_SIZE, epochs=epochs)


def _shuffled(seed: int, number: int) -> Variant:
    """Make the variant of the data with its training labels in another order; number 0 is the data itself."""

    def variant(data: FoldData) -> FoldData:
        if number == 0:
            return data
        order = np.random.Generator(np.random.Philox(key=[seed, number])).permutation(len(data.y_train))
        return replace(data, y_train=data.y_train[order])

    return variant


def _least(members: Iterable[Member]) -> float:
    return min((m.progress.best_score for m in members if m.progress.best_score is not None), default=math.inf)


def _constant(setting: CheckSetting) -> float:
    """Compute the loss of the best constant answer on the validation rows, in the units of the scores."""
    truth = setting.data(setting.candidates[0]).y_valid
    constant = constant_loss("cross_entropy" if setting.is_classification else "mse", truth)
    assert constant is not None
    return constant
