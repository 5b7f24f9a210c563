"""`initial_loss`: before any step, a network's loss is that of chance.

One of the sanity checks in the notes of Stanford's CS231n (Karpathy, "Neural networks part 3"): a loss far above chance
at the start says that inputs or initial weights have the wrong scale.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from foldstep.models.hyperparameters import Hyperparameters
from foldstep.service.contract.checks import CheckResult
from foldstep.worker.checks.chance import chance_loss
from foldstep.worker.checks.setting import CheckSetting, finite, in_common, members, plain, share, with_rows
from foldstep.worker.data.inputs import FoldData

NAME = "initial_loss"
N_ROWS = 256
LEAST_RATIO, GREATEST_RATIO = 0.3, 6.0
"""How far a healthy fresh network is from chance, as a factor. Random outputs of variance v add v to mse and about
v / 2 to cross entropy, so 1 is out of reach. Over 640 draws from every initialisation, activation, normalisation and
scaler, widths 8 to 128 and depths 1 to 5, on four data sets, it lay between 0.57 and 5.9, 99 % of them below 3.2."""
TOLERATED_SHARE = 0.25
"""Share of networks that may lie outside: about 1 in 100 does by chance, most of them with a wrong scale."""
WIDE_INPUT = 20.0
"""Scaled inputs have a size of about 1; a standard deviation or mean beyond this is a wrong scale."""


def initial_loss(setting: CheckSetting) -> CheckResult:
    """Compare every candidate's loss before its first step with the loss of chance."""
    ratios = fresh_ratios(setting)
    judged = [hp for hp, ratio in zip(setting.candidates, ratios, strict=True) if ratio is not None]
    known = [ratio for ratio in ratios if ratio is not None]
    if not known:
        return CheckResult(name=NAME, outcome="skipped", sentence="This loss has no level of chance to compare with.")
    is_off = [not LEAST_RATIO <= ratio <= GREATEST_RATIO for ratio in known]
    off = [hp for hp, bad in zip(judged, is_off, strict=True) if bad]
    good = [hp for hp, bad in zip(judged, is_off, strict=True) if not bad]
    has_failed = len(off) > TOLERATED_SHARE * len(judged)
    middle = float(np.median(known))
    size = f"{middle:.3g} times that of chance" if np.isfinite(middle) else "not finite"
    sentence = f"Before any step the loss is {size}, the median of {share(len(judged))}."
    if off:
        sentence += f" For {share(len(off), len(judged))} it is not near 1"
        common = in_common(off, good)
        sentence += f"; what they have in common: {common}." if common else "."
    return CheckResult(
        name=NAME,
        outcome="failed" if has_failed else "passed",
        sentence=sentence,
        look_at=_look_at(setting, off) if has_failed else None,
        numbers={"median_ratio": finite(middle), "greatest_ratio": finite(max(known)), "off": len(off)},
    )


def fresh_ratios(setting: CheckSetting) -> list[float | None]:
    """Compute each candidate's loss over that of chance, before any step, without dropout; None if that is unknown."""
    training = setting.training([_first_rows])
    losses: dict[int, float] = {}
    for pack in training.packs(members(plain(hp, batch_size=N_ROWS) for hp in setting.candidates)):
        trainer = training.trainer(pack)
        losses |= dict(zip((m.trial for m in trainer.members), trainer.probe(1)().tolist(), strict=True))
    chances = [_chance(setting, hp) for hp in setting.candidates]
    return [losses[i] / chance if chance else None for i, chance in enumerate(chances)]


def _first_rows(data: FoldData) -> FoldData:
    return with_rows(data, np.arange(min(N_ROWS, len(data.y_train))))


def _chance(setting: CheckSetting, hp: Hyperparameters) -> float | None:
    data = _first_rows(setting.data(hp))
    return chance_loss(hp.loss_for(setting.task), data.y_train, data.n_outputs, hp.loss_number)


def _look_at(setting: CheckSetting, off: Sequence[Hyperparameters]) -> str:
    sizes = [np.abs(setting.data(hp).x_train).mean(axis=0).max(initial=0.0) for hp in off]
    if max(sizes) > WIDE_INPUT:
        return (
            f"Look at scaler: inputs reach the networks with a size of about {max(sizes):,.3g}, where 1 is right; "
            "scaler: standard mends that."
        )
    return "Look at init, init_gain and bias_init: the first weights are too large for this depth, or too small."
