"""`regularisation`: stronger regularisation raises the loss.

One of the sanity checks in the notes of Stanford's CS231n (Karpathy, "Neural networks part 3"). The same network trains
on the same batches under no penalty, some, and a strong one, in lockstep. The loss with the penalty added would rise
even if the penalty were never applied, so the check compares its effects: the loss on the rows, without the penalty,
rises, and the weights shrink.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from foldstep.models.catalog.hyperparameters import REGISTRY
from foldstep.models.catalog.optimizers import OPTIMIZERS
from foldstep.models.hyperparameters import Hyperparameters
from foldstep.models.weights import Weights
from foldstep.service.contract.checks import CheckResult
from foldstep.worker.checks.chance import constant_loss
from foldstep.worker.checks.setting import CheckSetting, finite, steady, with_rows
from foldstep.worker.data.inputs import FoldData
from foldstep.worker.train.member import Member

NAME = "regularisation"
N_ROWS = 64
N_STEPS = 50
PENALTIES = (("weight_decay", 0.0), ("weight_decay", 1.0), ("weight_decay", 10.0), ("l1", 0.3))
"""No penalty, a moderate one, and two strong ones that drive nearly all weights to zero."""
LEAST_RISE = 0.05
"""Share of the way from the loss without a penalty to the best constant answer's. Over networks with every optimizer,
norm and activation on four data sets the strong penalties went at least 25 % of it."""
MOST_WEIGHT = 0.5
"""Share of the sum of squared weights that a strong penalty may leave; the same networks kept between 0 and 40 %."""
LITTLE_WEIGHT = 0.1
"""A share so small that the penalty is clearly applied, though the loss does not rise: wide networks, and those whose
inputs are embedded, can fit the rows with small weights. Those of the space around RealMLP's defaults, on five data
sets, kept at most 7 %."""
_TO_THE_END = {name: REGISTRY[name].default for name in ("decay_schedule", "decay_towards")}
"""A decay that ends before the training does lets the weights grow again; one towards the first weights keeps them."""
LEARNED = 0.8
"""A network that without a penalty stays above this share of the best constant answer's loss is not judged."""


@dataclass(frozen=True)
class _Trained:
    """One network after its steps: the loss on its rows, and the sum of its squared weights."""

    loss: float
    weight: float


def regularisation(setting: CheckSetting) -> CheckResult:
    """Train a network of each kind of optimizer in the space under rising penalties."""
    networks = _one_of_each_kind(setting.candidates)
    trained = _train(setting, networks)
    judged = [(hp, runs) for hp, runs in zip(networks, trained, strict=True) if _has_learned(setting, hp, runs[0])]
    if not judged:
        sentence = f"No network learned enough in {N_STEPS} steps for a penalty to show."
        return CheckResult(name=NAME, outcome="skipped", sentence=sentence)
    faults = [fault for hp, runs in judged for fault in _faults(setting, hp, runs)]
    first = judged[0][1]
    told = ", ".join(f"{run.loss:.3g} at {value:g}" for (_, value), run in zip(PENALTIES[:-1], first, strict=False))
    numbers = {f"{name}_{value:g}": finite(run.loss) for (name, value), run in zip(PENALTIES, first, strict=True)}
    return CheckResult(
        name=NAME,
        outcome="failed" if faults else "passed",
        sentence=" ".join(faults[:3]) or f"The loss rises with weight_decay ({told}) and with l1.",
        look_at=_LOOK_AT if faults else None,
        numbers=numbers,
    )


_LOOK_AT = (
    "Look at how the optimizer applies its penalties: this is a fault of the program and not of the spec, "
    "so please report it with the spec."
)


def _kind(hp: Hyperparameters) -> tuple[str, bool]:
    """Name the kind of optimizer; those of one kind apply their penalties by the same code."""
    return hp.family, OPTIMIZERS[hp.optimizer].decouples_decay


def _one_of_each_kind(candidates: Sequence[Hyperparameters]) -> list[Hyperparameters]:
    """Choose the shallowest network, which learns soonest, of each kind of optimizer."""
    shallow_first = sorted(candidates, key=lambda hp: len(hp.hidden))
    return list({_kind(hp): hp for hp in reversed(shallow_first)}.values())


def _train(setting: CheckSetting, networks: Sequence[Hyperparameters]) -> list[list[_Trained]]:
    """Train every network under every penalty; list the results by network, then by penalty."""
    training = setting.training([_first_rows])
    members = [
        Member(number, 0, steady(hp, **{name: value}, **_TO_THE_END, clip_norm=0.0, batch_size=N_ROWS, epochs=N_STEPS))
        for number, (hp, (name, value)) in enumerate((hp, penalty) for hp in networks for penalty in PENALTIES)
    ]
    found: dict[int, _Trained] = {}
    for pack in training.packs(members):
        trainer = training.trainer(pack)
        for epoch in range(1, N_STEPS + 1):
            losses = trainer.train_epoch(epoch)
        for i, (member, loss) in enumerate(zip(trainer.members, losses.tolist(), strict=True)):
            found[member.trial] = _Trained(loss, _squares(trainer.net.parameters.take(trainer.net.layout, i)))
    n = len(PENALTIES)
    return [[found[i * n + j] for j in range(n)] for i in range(len(networks))]


def _first_rows(data: FoldData) -> FoldData:
    return with_rows(data, np.arange(min(N_ROWS, len(data.y_train))))


def _squares(weights: Weights) -> float:
    matrices = [layer[name] for layer in weights for name in ("weight", "second_weight") if name in layer]
    return sum(float(np.square(matrix, dtype=np.float64).sum()) for matrix in matrices)


def _constant(setting: CheckSetting, hp: Hyperparameters) -> float | None:
    data = _first_rows(setting.data(hp))
    return constant_loss(hp.loss_for(setting.task), data.y_train, hp.loss_number)


def _has_learned(setting: CheckSetting, hp: Hyperparameters, without: _Trained) -> bool:
    constant = _constant(setting, hp)
    return constant is not None and math.isfinite(without.loss) and without.loss < LEARNED * constant


def _faults(setting: CheckSetting, hp: Hyperparameters, runs: Sequence[_Trained]) -> list[str]:
    """Describe what is wrong with one network's runs, in a sentence for each penalty."""
    without, constant = runs[0], _constant(setting, hp)
    assert constant is not None
    faults = []
    for (name, value), run in zip(PENALTIES[2:], runs[2:], strict=True):
        rises = run.loss > without.loss + LEAST_RISE * (constant - without.loss)
        is_applied = run.weight < (MOST_WEIGHT if rises else LITTLE_WEIGHT) * without.weight  # False for NaN, too
        if not is_applied:
            faults.append(
                f"With {hp.optimizer} and {name} {value:g} the loss goes from {without.loss:.3g} to {run.loss:.3g} and "
                f"the squared weights from {without.weight:.3g} to {run.weight:.3g}; that must rise, these shrink."
            )
    return faults
