"""`overfit`: a network of the space can drive the loss on 20 examples to nearly zero.

One of the sanity checks in the notes of Stanford's CS231n (Karpathy, "Neural networks part 3"). A network that cannot
learn 20 rows by heart learns nothing from more rows: rates are wrong, units dead or saturated, or networks too small.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from foldstep.models.hyperparameters import Hyperparameters
from foldstep.models.schedules import factors
from foldstep.service.contract.checks import CheckResult
from foldstep.worker.checks.chance import constant_loss, floor_loss
from foldstep.worker.checks.setting import CheckSetting, finite, members, plain, share, with_rows
from foldstep.worker.data.inputs import FoldData
from foldstep.worker.train.member import Member
from foldstep.worker.train.oversight import Unwatched
from foldstep.worker.train.stopping import End

NAME = "overfit"
N_ROWS = 20
N_STEPS = 300
NEARLY_ZERO = 0.05
"""Share of the way from the least possible loss to the best constant answer's. Over 20 draws of 12 networks from wide
spaces on four data sets, with rates from 1e-5 to 1, between 2 and 9 of the 12 came below it."""
AT_ONCE = 4
"""Networks that train in lockstep; the next ones train only if none of these reaches `NEARLY_ZERO`."""
LEAST_MOVE, LEAST_FACTOR, LEAST_RATE = 0.01, 0.1, 1e-6


@dataclass(frozen=True)
class _Bounds:
    """The losses between which a network is judged: the least possible, and the best constant answer's."""

    floor: float
    constant: float

    def share(self, loss: float | None) -> float:
        """Compute how far a loss is above the floor: 1 for the constant answer; infinite for one that is not finite."""
        return float("inf") if loss is None else (loss - self.floor) / (self.constant - self.floor)


def overfit(setting: CheckSetting) -> CheckResult:
    """Train a few networks on `N_ROWS` rows until one of them knows the rows by heart."""
    rows = few_rows(setting.data(setting.candidates[0]))
    bounds = [_bounds(setting, hp, rows) for hp in setting.candidates]
    judged = [(hp, bound) for hp, bound in zip(setting.candidates, bounds, strict=True) if bound is not None]
    if not judged:
        sentence = f"{len(rows)} rows give nothing to learn by heart: rows that differ have the same target."
        return CheckResult(name=NAME, outcome="skipped", sentence=sentence)
    training = setting.training([lambda data: _small(data, rows)])
    tried: list[Member] = []
    for start in range(0, len(judged), AT_ONCE):
        group = judged[start : start + AT_ONCE]
        watch = _FirstThere({i: bound for i, (_, bound) in enumerate(group, start)})
        now = members((_stretched(hp, len(rows)) for hp, _ in group), first=start)
        training.train(now, watch)
        tried += now
        if watch.there is not None:
            return _passed(watch.there, watch.bounds[watch.there.trial], len(rows))
    return _failed(tried, [bound for _, bound in judged], [hp for hp, _ in judged], len(rows))


def _bounds(setting: CheckSetting, hp: Hyperparameters, rows: npt.NDArray[np.int64]) -> _Bounds | None:
    data = with_rows(setting.data(hp), rows)
    loss = hp.loss_for(setting.task)
    constant, floor = (
        constant_loss(loss, data.y_train, hp.loss_number),
        floor_loss(loss, data.x_train, data.y_train, hp.loss_number),
    )
    if constant is None or floor is None or constant - floor < 1e-6:
        return None
    return _Bounds(floor, constant)


def _small(data: FoldData, rows: npt.NDArray[np.int64]) -> FoldData:
    """Keep these training rows, and a single validation row, for the score is not used."""
    small = with_rows(data, rows)
    return replace(small, x_valid=data.x_valid[:1], y_valid=data.y_valid[:1])


def _stretched(hp: Hyperparameters, n_rows: int) -> Hyperparameters:
    """Build the network as `plain` does, its rate schedule stretched over `N_STEPS` epochs of one step each."""

    def epochs(n: int) -> int:
        return max(1, round(n * N_STEPS / hp.epochs))

    return plain(
        hp,
        lr=hp.base_lr,
        scale_lr_with_batch="none",
        batch_size=n_rows,
        epochs=N_STEPS,
        warmup_epochs=epochs(hp.warmup_epochs) if hp.warmup_epochs else 0,
        decay_epochs=epochs(hp.decay_epochs),
        cycle_epochs=epochs(hp.cycle_epochs),
    )


class _FirstThere(Unwatched):
    """A training monitor that ends the training as soon as the loss of one network is nearly zero.

    Attributes:
        there: that network's member; None so far.
    """

    def __init__(self, bounds: dict[int, _Bounds]) -> None:
        self.bounds = bounds
        self.there: Member | None = None

    def epoch_done(self, members: Sequence[Member], member_steps: int) -> None:  # noqa: ARG002
        """Find the first member whose loss is nearly zero."""
        for member in sorted(members, key=lambda m: m.trial):
            if self.there is None and self.bounds[member.trial].share(member.progress.train_loss[-1]) <= NEARLY_ZERO:
                self.there = member

    def is_leaving(self) -> bool:
        """Tell whether such a member was found."""
        return self.there is not None


def _passed(there: Member, bounds: _Bounds, n_rows: int) -> CheckResult:
    n_steps, left = there.progress.epoch, bounds.share(there.progress.train_loss[-1])
    sentence = (
        f"A network of the space learns {n_rows} rows by heart: after {n_steps} steps {left:.1%} of the loss is left."
    )
    return CheckResult(name=NAME, outcome="passed", sentence=sentence, numbers={"left": finite(left), "steps": n_steps})


def _failed(
    tried: Sequence[Member], bounds: Sequence[_Bounds], own: Sequence[Hyperparameters], n_rows: int
) -> CheckResult:
    lefts = [bound.share(_least(member)) for member, bound in zip(tried, bounds, strict=True)]
    n_diverged = sum(m.progress.end is End.DIVERGED for m in tried)
    sentence = f"In {N_STEPS} steps none of {len(tried)} networks learns {n_rows} rows by heart: "
    left = min(lefts)
    sentence += f"the best one has {left:.1%} of the loss left." if left < 1 else "no one beats a constant answer."
    if n_diverged:
        sentence += f" {share(n_diverged, len(tried))} diverged."
    return CheckResult(
        name=NAME,
        outcome="failed",
        sentence=sentence,
        look_at=_look_at(tried, own),
        numbers={"left": finite(left), "steps": N_STEPS, "diverged": n_diverged},
    )


def _least(member: Member) -> float | None:
    return min((loss for loss in member.progress.train_loss if loss is not None), default=None)


def _look_at(tried: Sequence[Member], own: Sequence[Hyperparameters]) -> str:
    """Suggest where to look, from how the networks trained."""
    if all(m.progress.end is End.DIVERGED for m in tried):
        return "Look at lr: every network diverges, so its upper bound is far too high."
    if max(_mean_factor(hp) for hp in own) < LEAST_FACTOR:
        return "Look at schedule: it takes the learning rate away before the networks have learned anything."
    if not any(_moved(m) for m in tried):
        if max(m.hp.lr for m in tried) < LEAST_RATE:
            return "Look at lr: it is so small that no loss moves at all."
        return (
            "Look at scaler, init and activation: no loss moves, so units are saturated or dead; else lr is too small."
        )
    return "Look at lr, then at width and depth: the rates are too low or too high, or the networks are too small."


def _mean_factor(hp: Hyperparameters) -> float:
    return float(np.mean([factors(hp, epoch, 1)[0] for epoch in range(1, min(hp.epochs, N_STEPS) + 1)]))


def _moved(member: Member) -> bool:
    first, least = member.progress.train_loss[0], _least(member)
    return first is not None and least is not None and least < first * (1 - LEAST_MOVE)


def few_rows(data: FoldData) -> npt.NDArray[np.int64]:
    """Choose at most `N_ROWS` training rows with different inputs: of all classes in turn, or evenly by the target.

    Several targets count by their sum.
    """
    first = np.unique(data.x_train, axis=0, return_index=True)[1]
    distinct = np.sort(first)
    y_train = data.y_train.sum(axis=1) if data.target.each else data.y_train
    order = distinct[np.argsort(y_train[distinct], kind="stable")]
    if data.target.classes is not None:
        y = data.y_train[order]
        turn = np.concatenate([np.arange(n) for n in np.unique(y, return_counts=True)[1]])
        order = order[np.lexsort((y, turn))]
        return np.sort(order[:N_ROWS])
    spread = np.linspace(0, len(order) - 1, min(N_ROWS, len(order))).round().astype(np.int64)
    return np.sort(order[spread])
