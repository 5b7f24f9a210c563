"""A finding holds in most of the folds, and more epochs are not advised where the validation loss rises."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import pytest

from foldstep.models.hyperparameters import resolve
from foldstep.service.contract.diagnose import Diagnosis, diagnose
from foldstep.service.contract.diagnostics import Diagnostics
from foldstep.service.contract.report import Curve, FoldResult

EPOCHS = 40
HP = resolve({"epochs": EPOCHS, "lr": 1e-3, "hidden": [8]}, seed=0)
CHANCE = 1.0
Losses = Sequence[float]


def curve(loss: Callable[[int], float]) -> Losses:
    return [loss(epoch) for epoch in range(1, EPOCHS + 1)]


FALLING = curve(lambda e: 0.9 * 0.985**e)
FLAT = curve(lambda e: 0.3 + 0.5 * math.exp(-e / 2))
RISING = curve(lambda e: 0.4 + 0.6 * math.exp(-e) + 0.002 * e)
DIPPED = [*RISING[:-4], *(0.93 * loss for loss in RISING[-4:])]
"""It rises from its sixth epoch on, by less than overfitting, but is lower in its last tenth than just before."""
TURNED = [*FALLING[:-4], *(FALLING[-8] * (0.8 + 0.05 * i) for i in range(4))]
"""It falls until the last tenth, which is lower, and rises within it."""


def fold(number: int, valid: Losses, train: float = 0.2, dead: float = 0.0) -> FoldResult:
    probe = [float(EPOCHS), 1.0, train, 0.9, CHANCE, 1e-3, 1e-3, 0.1, 0.9, None, dead]
    return FoldResult(
        fold=number, score=0.9, best_epoch=EPOCHS, epochs=EPOCHS,
        curve=Curve(train_loss=[train + 0.1] * EPOCHS, score=[0.9] * EPOCHS),
        diagnostics=Diagnostics(valid_loss=list(valid), probes=[probe]),
    )  # fmt: skip


def found(*curves: Losses) -> list[Diagnosis]:
    return diagnose(HP, [fold(number, valid) for number, valid in enumerate(curves)])


def kinds(*curves: Losses) -> list[str]:
    return [diagnosis.kind for diagnosis in found(*curves)]


def test_a_loss_that_falls_to_the_end_asks_for_more_epochs() -> None:
    (diagnosis,) = found(FALLING, FALLING, FALLING)
    assert "More epochs should help" in diagnosis.sentence


@pytest.mark.parametrize("valid", [RISING, DIPPED, TURNED, FLAT], ids=["rising", "dipped", "turned", "flat"])
def test_more_epochs_are_not_advised_where_the_validation_loss_has_risen(valid: Losses) -> None:
    assert valid is not DIPPED or sum(DIPPED[-4:]) < sum(DIPPED[-8:-4]) * 0.98
    assert all("More epochs" not in diagnosis.sentence for diagnosis in found(valid, valid, valid))


@pytest.mark.parametrize(("n_falling", "n"), [(1, 2), (2, 4), (2, 5), (1, 1), (2, 3), (3, 5), (2, 2)])
def test_a_finding_holds_in_more_than_half_of_the_folds(n_falling: int, n: int) -> None:
    said = kinds(*[FALLING] * n_falling, *[FLAT] * (n - n_falling))
    assert said == (["still_improving"] if 2 * n_falling > n else ["healthy"])


@pytest.mark.parametrize("n_dead", range(6))
def test_dead_units_of_a_few_folds_are_not_the_trials(n_dead: int) -> None:
    folds = [fold(number, FLAT, dead=0.6 if number < n_dead else 0.1) for number in range(5)]
    assert ("dead_units" in [d.kind for d in diagnose(HP, folds)]) == (n_dead >= 3)


def test_folds_that_fall_are_outweighed_by_others_that_rise_more() -> None:
    steep = [*FLAT[:-4], *(1.25 * loss for loss in FLAT[-4:])]
    assert kinds(FALLING, FALLING, FLAT) == ["still_improving"]
    assert kinds(FALLING, FALLING, steep) == ["healthy"]


def test_what_most_folds_did_not_do_is_not_told() -> None:
    gap = curve(lambda e: 0.8 + 0.2 * math.exp(-e))
    rose = curve(lambda e: 0.6 + 0.4 * math.exp(-e) + 0.006 * e)
    (diagnosis,) = found(rose, gap, gap)
    assert (diagnosis.kind, diagnosis.evidence["epoch"]) == ("overfitting", None)
    assert "was least after epoch" not in diagnosis.sentence
    (diagnosis,) = found(rose, rose, gap)
    assert "was least after epoch" in diagnosis.sentence
