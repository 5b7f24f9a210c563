"""The schedules of the learning rate: a factor on the rate for every step of an epoch, as a pure function.

A schedule's time t is counted in epochs from the end of the warm-up; T is the number of epochs after it. Schedules that
PyTorch steps once an epoch are constant within an epoch; cyclical, one_cycle, trapezoidal and the warm-up change with
every step. With d = decay, k = decay_epochs, f = lr_floor:

- step d^floor(t/k) · exponential d^(t/k) · inverse_time 1/(1 + t/k) · inverse_sqrt 1/sqrt(1 + t/k)
- linear 1 - (1 - f) t/T · cosine f + (1 - f) (1 + cos(pi t/T)) / 2 (Loshchilov and Hutter 2017)
- cosine_restarts: a cosine over every cycle, the first of cycle_epochs, each cycle_growth times the one before (same)
- trapezoidal: 1, then linearly to f over the last `cooldown` share (Zhai et al. 2022)
- cyclical: f to 1 and back in 2 cycle_epochs (Smith 2017)
- one_cycle: cosine from 1/25 to 1 over the first `cooldown` share, then to 1/250,000 (Smith and Topin 2019)
- coslog: (1 - cos(2 pi log2(1 + 15 t/T))) / 2 between f and 1, four cycles, each twice as long as the one before
  (Holzmüller et al. 2024, coslog4)
- flat_cosine: 1 in the first half, then a cosine to f (there flat_cos)
- plateau: multiplied by d when the score has not improved for more than k epochs; see `plateau_factor`

Dropout and weight decay may follow coslog or flat_cosine, too, without a floor (`course`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np

from foldstep.models.catalog.schedules import SCHEDULES
from foldstep.models.hyperparameters import Hyperparameters

_ONE_CYCLE_START = 1 / 25
_ONE_CYCLE_END = _ONE_CYCLE_START / 1e4
_CYCLES = 4  # of coslog


def factors(hp: Hyperparameters, epoch: int, n_steps: int, plateau: float = 1.0) -> np.ndarray:
    """Compute the factor on the learning rate at each step of an epoch, (n_steps,) float64.

    Args:
        hp: the member's hyperparameters.
        epoch: 1 for the first.
        n_steps: steps in an epoch.
        plateau: the present factor of the schedule plateau, see `plateau_factor`; 1 for the other schedules.
    """
    times = epoch - 1 + np.arange(n_steps) / n_steps
    total = max(hp.epochs - hp.warmup_epochs, 1)
    if epoch <= hp.warmup_epochs:
        return (times + 1 / n_steps) / hp.warmup_epochs * _at(hp, 0.0, total, n_steps)
    if SCHEDULES[hp.schedule].moves != "by_step":
        return np.full(n_steps, plateau * _at(hp, epoch - 1 - hp.warmup_epochs, total, n_steps))
    return plateau * np.array([_at(hp, time - hp.warmup_epochs, total, n_steps) for time in times])


def _at(hp: Hyperparameters, time: float, total: int, n_steps: int) -> float:
    return _FACTORS[hp.schedule](hp, time, total, n_steps)


def _one_cycle(hp: Hyperparameters, time: float, total: int, n_steps: int) -> float:
    share = min(time / max(total - 1 / n_steps, 1e-12), 1.0)  # the last step is the end of the cycle, as in PyTorch
    last = max(total * n_steps - 1, 1)
    peak = max((hp.cooldown * (total * n_steps) - 1) / last, 1e-12)
    if share <= peak:
        return _cosine(_ONE_CYCLE_START, 1.0, share / peak)
    return _cosine(1.0, _ONE_CYCLE_END, (share - peak) / (1 - peak))


def _cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2


def _restarts(hp: Hyperparameters, t: float, _total: int, _n_steps: int) -> float:
    length, since = hp.cycle_epochs, t
    while since >= length:
        since -= length
        length *= hp.cycle_growth
    return _cosine(1.0, hp.lr_floor, since / length)


def _trapezoidal(hp: Hyperparameters, t: float, total: int, _n_steps: int) -> float:
    fall = hp.cooldown * total
    return 1.0 - (1.0 - hp.lr_floor) * max(0.0, t - (total - fall)) / fall


def _cyclical(hp: Hyperparameters, t: float, _total: int, _n_steps: int) -> float:
    phase = t / hp.cycle_epochs % 2
    return hp.lr_floor + (1.0 - hp.lr_floor) * (phase if phase <= 1 else 2 - phase)


def _coslog(share: float) -> float:
    return (1 - math.cos(2 * math.pi * math.log2(1 + (2**_CYCLES - 1) * share))) / 2


def _flat_cosine(share: float) -> float:
    return 1.0 if share < 0.5 else _cosine(1.0, 0.0, 2 * share - 1)


_COURSES: Mapping[str, Callable[[float], float]] = {
    "constant": lambda _share: 1.0,
    "coslog": _coslog,
    "flat_cosine": _flat_cosine,
}


def course(name: str, hp: Hyperparameters, epoch: int, n_steps: int) -> np.ndarray:
    """Compute the factor on dropout or weight decay at each step of an epoch, (n_steps,) float64.

    Args:
        name: a name of `COURSES`.
        hp: its `epochs` are the length of the course.
        epoch: 1 for the first.
        n_steps: steps in an epoch.
    """
    shares = (epoch - 1 + np.arange(n_steps) / n_steps) / hp.epochs
    return np.array([_COURSES[name](share) for share in shares])


OWN_SHARE = -1.0
"""Stands for a member's constant share of the new weights in its running average, 1 - `ema_decay`."""


def average_shares(hp: Hyperparameters, epoch: int, n_steps: int) -> np.ndarray:
    """Compute the share of the new weights in their average after each step of an epoch, (n_steps,) float64.

    From the epoch at `swa_start` on, the average is the mean of the weights at the ends of the epochs (stochastic
    weight averaging, Izmailov et al. 2018, with a cycle of one epoch); before, the share is `OWN_SHARE`.
    """
    n_averaged = epoch - math.floor(hp.swa_start * hp.epochs)
    if not hp.swa_start or n_averaged < 1:
        return np.full(n_steps, OWN_SHARE)
    return np.append(np.zeros(n_steps - 1), 1 / n_averaged)


_FACTORS: Mapping[str, Callable[[Hyperparameters, float, int, int], float]] = {
    "constant": lambda _hp, _t, _total, _n: 1.0,
    "plateau": lambda _hp, _t, _total, _n: 1.0,
    "step": lambda hp, t, _total, _n: hp.decay ** math.floor(t / hp.decay_epochs),
    "exponential": lambda hp, t, _total, _n: hp.decay ** (t / hp.decay_epochs),
    "inverse_time": lambda hp, t, _total, _n: 1 / (1 + t / hp.decay_epochs),
    "inverse_sqrt": lambda hp, t, _total, _n: 1 / math.sqrt(1 + t / hp.decay_epochs),
    "linear": lambda hp, t, total, _n: 1 - (1 - hp.lr_floor) * t / total,
    "cosine": lambda hp, t, total, _n: _cosine(1.0, hp.lr_floor, t / total),
    "cosine_restarts": _restarts,
    "trapezoidal": _trapezoidal,
    "cyclical": _cyclical,
    "one_cycle": _one_cycle,
    "coslog": lambda hp, t, total, _n: hp.lr_floor + (1 - hp.lr_floor) * _coslog(t / total),
    "flat_cosine": lambda hp, t, total, _n: hp.lr_floor + (1 - hp.lr_floor) * _flat_cosine(t / total),
}


def plateau_factor(hp: Hyperparameters, is_better: list[bool]) -> float:
    """Compute the factor of the schedule plateau after the epochs so far.

    Args:
        hp: its `decay` is the factor of each reduction, its `decay_epochs` the patience.
        is_better: for each epoch so far, whether its score was better than all before.
    """
    factor, waited = 1.0, 0
    for better in is_better:
        waited = 0 if better else waited + 1
        if waited > hp.decay_epochs:
            factor, waited = factor * hp.decay, 0
    return factor
