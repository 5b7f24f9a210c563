"""The courses of the learning rate against PyTorch's schedulers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch.optim import lr_scheduler

from foldstep.models.catalog.schedules import COURSES, SCHEDULES
from foldstep.models.hyperparameters import resolve
from foldstep.models.schedules import OWN_SHARE, average_shares, course, factors, plateau_factor

EPOCHS, STEPS = 12, 5
Make = Callable[[torch.optim.Optimizer], lr_scheduler.LRScheduler]

PER_EPOCH: dict[str, tuple[dict[str, Any], Make]] = {
    "constant": ({}, lambda o: lr_scheduler.ConstantLR(o, factor=1.0)),
    "step": ({"decay": 0.3, "decay_epochs": 4}, lambda o: lr_scheduler.StepLR(o, 4, gamma=0.3)),
    "exponential": ({"decay": 0.3, "decay_epochs": 4}, lambda o: lr_scheduler.ExponentialLR(o, 0.3**0.25)),
    "linear": ({"lr_floor": 0.1}, lambda o: lr_scheduler.LinearLR(o, 1.0, 0.1, EPOCHS)),
    "cosine": ({"lr_floor": 0.1}, lambda o: lr_scheduler.CosineAnnealingLR(o, EPOCHS, eta_min=0.1)),
    "cosine_restarts": (
        {"cycle_epochs": 2, "cycle_growth": 2, "lr_floor": 0.05},
        lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 2, 2, eta_min=0.05),
    ),
    "inverse_time": ({"decay_epochs": 3}, lambda o: lr_scheduler.LambdaLR(o, lambda t: 1 / (1 + t / 3))),
    "inverse_sqrt": ({"decay_epochs": 3}, lambda o: lr_scheduler.LambdaLR(o, lambda t: (1 + t / 3) ** -0.5)),
}
PER_STEP: dict[str, tuple[dict[str, Any], Make]] = {
    "cyclical": (
        {"cycle_epochs": 2, "lr_floor": 0.2},
        lambda o: lr_scheduler.CyclicLR(o, 0.2, 1.0, step_size_up=2 * STEPS, cycle_momentum=False),
    ),
    "one_cycle": (
        {"cooldown": 0.3},
        lambda o: lr_scheduler.OneCycleLR(o, 1.0, total_steps=EPOCHS * STEPS, cycle_momentum=False),
    ),
}


def rates_of_pytorch(make: Make, n: int) -> np.ndarray:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = make(optimizer)
    rates = []
    for _ in range(n):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return np.array(rates)


def ours(name: str, options: dict[str, Any], **more: Any) -> np.ndarray:
    hp = resolve({"schedule": name, "epochs": EPOCHS, **options, **more})
    return np.stack([factors(hp, e, STEPS) for e in range(1, EPOCHS + 1)])


@pytest.mark.parametrize("name", PER_EPOCH)
def test_schedules_that_move_with_the_epoch(name: str) -> None:
    options, make = PER_EPOCH[name]
    expected = np.repeat(rates_of_pytorch(make, EPOCHS)[:, None], STEPS, axis=1)
    np.testing.assert_allclose(ours(name, options), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", PER_STEP)
def test_schedules_that_move_with_the_step(name: str) -> None:
    options, make = PER_STEP[name]
    np.testing.assert_allclose(ours(name, options).ravel(), rates_of_pytorch(make, EPOCHS * STEPS), atol=1e-9)


def test_every_schedule_is_covered() -> None:
    assert {*PER_EPOCH, *PER_STEP, "trapezoidal", "plateau", "coslog", "flat_cosine"} == set(SCHEDULES)


def test_coslog_has_four_cycles_each_twice_as_long() -> None:
    """As RealMLP's coslog4: the zeros are at (2^k - 1) / 15 of the training."""
    hp = resolve({"schedule": "coslog", "epochs": 15, "lr_floor": 0.1})
    rates = np.concatenate([factors(hp, e, STEPS) for e in range(1, 16)])
    lowest = [0, 1 * STEPS, 3 * STEPS, 7 * STEPS]
    np.testing.assert_allclose(rates[lowest], 0.1, atol=1e-12)
    assert sum(rates < 0.1 + 1e-9) == len(lowest)
    times = np.arange(15 * STEPS) / (15 * STEPS)
    np.testing.assert_allclose(rates, 0.1 + 0.45 * (1 - np.cos(2 * np.pi * np.log2(1 + 15 * times))))


def test_flat_cosine_is_flat_then_a_cosine() -> None:
    rates = ours("flat_cosine", {"lr_floor": 0.2}).ravel()
    half = EPOCHS * STEPS // 2
    assert (rates[: half + 1] == 1).all()
    fall = rates_of_pytorch(lambda o: lr_scheduler.CosineAnnealingLR(o, half, eta_min=0.2), half)
    np.testing.assert_allclose(rates[half:], fall, atol=1e-9)


@pytest.mark.parametrize("name", COURSES)
def test_dropout_and_decay_take_the_course_of_the_schedule(name: str) -> None:
    """Over all epochs, without floor and warm-up."""
    hp = resolve({"lr_floor": 0.5, "warmup_epochs": 3, "epochs": EPOCHS})
    plain = resolve({"schedule": name, "epochs": EPOCHS})
    for epoch in range(1, EPOCHS + 1):
        np.testing.assert_allclose(course(name, hp, epoch, STEPS), factors(plain, epoch, STEPS), atol=1e-12)


def test_weights_are_averaged_at_the_ends_of_the_last_epochs() -> None:
    hp = resolve({"epochs": 4, "swa_start": 0.5})
    shares = [average_shares(hp, epoch, 3).tolist() for epoch in range(1, 5)]
    assert shares == [[OWN_SHARE] * 3, [OWN_SHARE] * 3, [0, 0, 1], [0, 0, 0.5]]
    assert average_shares(resolve({}), 30, 2).tolist() == [OWN_SHARE] * 2


def test_trapezoidal_holds_and_falls() -> None:
    rates = ours("trapezoidal", {"cooldown": 0.25, "lr_floor": 0.1}).ravel()
    n_high = round(0.75 * EPOCHS * STEPS)
    np.testing.assert_array_equal(rates[: n_high + 1], 1.0)
    falling = 1 - 0.9 * np.arange(EPOCHS * STEPS - n_high) / (0.25 * EPOCHS * STEPS)
    np.testing.assert_allclose(rates[n_high:], falling)


def test_plateau_is_that_of_pytorch() -> None:
    scores = [1.0, 0.9, 0.95, 0.93, 0.92, 0.8, 0.85, 0.81, 0.82, 0.83, 0.84, 0.9]
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=2, threshold=0.0)
    hp = resolve({"schedule": "plateau", "decay": 0.5, "decay_epochs": 2})
    is_better = [all(s < earlier for earlier in scores[:i]) for i, s in enumerate(scores)]
    for i, score in enumerate(scores, start=1):
        scheduler.step(score)
        assert plateau_factor(hp, is_better[:i]) == optimizer.param_groups[0]["lr"]


@pytest.mark.parametrize("name", SCHEDULES)
def test_warm_up_rises_in_front_of_any_schedule(name: str) -> None:
    warm = ours(name, {}, warmup_epochs=3)
    later = resolve({"schedule": name, "epochs": EPOCHS - 3})
    first = factors(later, 1, STEPS)[0]
    np.testing.assert_allclose(warm[:3].ravel(), first * np.arange(1, 3 * STEPS + 1) / (3 * STEPS))
    after = np.stack([factors(later, e, STEPS) for e in range(1, EPOCHS - 2)])
    np.testing.assert_allclose(warm[3:], after)


def test_the_rate_scales_with_the_batch_on_request() -> None:
    assert resolve({"lr": 0.1, "batch_size": 512}).base_lr == 0.1
    assert resolve({"lr": 0.1, "batch_size": 512, "scale_lr_with_batch": "linear"}).base_lr == pytest.approx(0.4)
    assert resolve({"lr": 0.1, "batch_size": 512, "scale_lr_with_batch": "sqrt"}).base_lr == pytest.approx(0.2)
