"""`labels`: the real labels teach more than shuffled ones.

A permutation test (Ojala and Garriga 2010, "Permutation tests for studying classifier performance", test 1): the same
networks train on the real labels and on several shuffles of them, in lockstep, and are scored on the same validation
rows. Labels that were shuffled against their rows teach no more than another shuffle does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from foldstep.models.hyperparameters import Hyperparameters
from foldstep.service.contract.checks import CheckResult
from foldstep.worker.checks.chance import constant_loss, constant_pinball
from foldstep.worker.checks.setting import CheckSetting, Variant, steady
from foldstep.worker.data.inputs import FoldData
from foldstep.worker.train.member import Member
from foldstep.worker.train.oversight import Unwatched

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
    if not np.isfinite(losses).all():
        return CheckResult(name=NAME, outcome="skipped", sentence="A network diverged, so there is nothing to compare.")
    found = [_Comparison(*parts) for parts in zip(losses, constants(setting), strict=True)]
    told = next((n for n, one in enumerate(found) if not one.has_passed), 0)
    where = f" of {setting.source.target_names[told]}" if len(found) > 1 else ""
    one = found[told]
    return CheckResult(
        name=NAME,
        outcome="passed" if one.has_passed else "failed",
        sentence=one.sentence(where),
        look_at=None if one.has_passed else _LOOK_AT,
        numbers={"real": one.real, "shuffled": one.mean, "spread": one.spread, "constant": one.constant},
    )


@dataclass(frozen=True)
class _Comparison:
    """The losses of one target: with the real labels and then with shuffled ones; and a constant answer's."""

    losses: npt.NDArray[np.float64]
    constant: float

    @property
    def real(self) -> float:
        return float(self.losses[0])

    @property
    def mean(self) -> float:
        return float(self.losses[1:].mean())

    @property
    def spread(self) -> float:
        return float(self.losses[1:].std(ddof=1))

    @property
    def has_passed(self) -> bool:
        is_far = self.mean - self.real >= LEAST_SPREADS * self.spread
        is_clear = self.real <= CLEARLY_BETTER * self.constant
        return bool(self.real < self.losses[1:].min() and (is_far or is_clear))

    def sentence(self, where: str) -> str:
        return (
            f"On rows that were not trained on, the loss{where} is {self.real:.4g} with the real labels and "
            f"{self.mean:.4g} ± {self.spread:.2g} with shuffled ones; a constant answer has {self.constant:.4g}."
        )


_LOOK_AT = (
    "Look at the data: labels may have been shuffled against their rows, as when two tables are joined in the wrong "
    "order; it can also mean that the features say nothing about the target, or too little for so few rows."
)


def validation_losses(setting: CheckSetting) -> npt.NDArray[np.float64]:
    """Find the best losses of the networks on the validation rows, (targets, 1 + shuffles): first with the real labels.

    Several targets are compared one by one: in their mean the one with the largest unit would decide for all.
    """
    training = setting.training([_shuffled(setting.seed, i) for i in range(N_SHUFFLES + 1)])
    shallow = sorted(setting.candidates, key=lambda hp: len(hp.hidden))[:N_NETWORKS]  # they learn soonest
    networks = [_learning(setting, hp) for hp in shallow]
    members = [Member(number, fold, hp) for number, hp in enumerate(networks) for fold in range(N_SHUFFLES + 1)]
    training.train(members, Unwatched())
    of_folds = [[_scores(m) for m in members if m.fold == fold] for fold in range(N_SHUFFLES + 1)]
    targets = range(len(setting.source.target_names))
    return np.array([[min((s[t] for s in found if s), default=math.inf) for found in of_folds] for t in targets])


def _scores(member: Member) -> list[float]:
    """List the losses of each target at a member's best epoch; nothing where it has none."""
    progress = member.progress
    if progress.best_average is None:
        return []
    return list(progress.averages_of_targets(progress.best_epoch)) or [progress.best_average]


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


def constants(setting: CheckSetting) -> list[float]:
    """Compute the loss of the best constant answer on the validation rows for each target, in the scores' units."""
    data = setting.data(setting.candidates[0])
    if data.target.quantiles:
        return [constant_pinball(data.y_valid, data.target.quantiles)]
    of_targets = data.y_valid.reshape(len(data.y_valid), -1).T
    loss = "mse" if setting.task == "regression" else "cross_entropy"
    levels = [constant_loss(loss, truth) for truth in of_targets]
    return [level for level in levels if level is not None]
