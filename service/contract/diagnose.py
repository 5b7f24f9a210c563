"""The diagnosis of a trial, in words with the evidence: a pure function of the curves and diagnostics of its folds.

A finding holds for a trial when it holds in most of its folds (more than half), and its numbers are their medians.
Where one finding explains another, only the cause is reported: a rate that is too low also leaves the loss high.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import fmean, median
from typing import Literal, TypeAlias

from foldstep.models.hyperparameters import Hyperparameters
from foldstep.service.contract.diagnostics import LayerReading
from foldstep.service.contract.fold_curves import FEWEST_EPOCHS, FoldCurves
from foldstep.service.contract.numbers import number
from foldstep.service.contract.report import FoldResult
from foldstep.service.contract.space import Frozen

Kind: TypeAlias = Literal[
    "diverged", "rate_too_high", "rate_too_low", "dead_units", "saturated", "overfitting", "underfitting",
    "still_improving", "undefined", "healthy",
]  # fmt: skip
Evidence: TypeAlias = dict[str, float | int | None]

HEALTHY_RATIO = 1e-3
"""Norm of an update over the norm of the weights (Karpathy and Johnson, notes of CS231n, neural networks part 3)."""
HIGH_RATIO = 30 * HEALTHY_RATIO
"""Adam's first steps on small networks reach 10 times the healthy ratio and train well; above 30 the loss decides."""
LOW_RATIO = HEALTHY_RATIO / 10
"""Below this ratio a thousand steps change the weights by a tenth at most."""
DEAD_SHARE = 0.4
"""The share of dead units that CS231n's notes (part 1, ReLU) give for a learning rate that is set too high."""
SATURATED_SHARE = 0.5
"""Trained tanh layers saturate in part (Glorot and Bengio 2010, section 3); half is where gradients stop to pass."""
SPIKE = 3.0
"""A loss of more than this many times the least before it, and above the chance loss, counts as a jump."""
STUCK = 0.95
"""From this share of the chance loss on, a training loss counts as no better than a constant prediction's."""
POOR_FIT = 0.7
"""From this share of the chance loss on, the network hardly fits the rows that it was trained on."""
RISE = 0.15
"""Relative rise of the validation loss over its least that counts as overfitting, if it is also above `VISIBLE`."""
GAP = 0.4
"""Gap between validation and training loss, as a share of the chance loss, that counts as overfitting by itself."""
VISIBLE = 0.05
"""Share of the chance loss below which a change of the loss is not reported."""
FALL = 0.02
"""Relative fall of a loss over the last tenth of the epochs above which more epochs would help."""


class Diagnosis(Frozen):
    """One finding about a trial.

    Attributes:
        sentence: the finding in words, with the evidence.
        evidence: the numbers, by name; medians over the folds.
    """

    kind: Kind
    sentence: str
    evidence: Evidence


def diagnose(hp: Hyperparameters, folds: Sequence[FoldResult]) -> list[Diagnosis]:
    """Diagnose a trial: list its findings, causes first, or one `healthy` finding where nothing stands out.

    Args:
        hp: its hyperparameters.
        folds: results of its folds; a fold without diagnostics is judged by its curve alone.
    """
    seen = [FoldCurves(hp, fold) for fold in folds]
    diverged = [fold for fold in seen if fold.diverged_in]
    if diverged:
        return [_diverged(diverged[0], len(diverged))]
    undefined = [fold for fold in seen if fold.undefined_in]
    if undefined:
        return [_undefined(undefined[0], len(undefined))]
    found: list[Diagnosis] = []
    for kind, find, tell, explained_by in _RULES:
        evidence = _agreed([find(fold) for fold in seen])
        if kind == "still_improving" and _rises_on_average(seen):
            continue
        if evidence is not None and not any(d.kind in explained_by for d in found):
            found.append(Diagnosis(kind=kind, sentence=tell(evidence), evidence=evidence))
    return found or [Diagnosis(kind="healthy", sentence="Nothing about its training stands out.", evidence={})]


def _agreed(found: Sequence[Evidence | None]) -> Evidence | None:
    """Compute the medians of the evidence if most of the folds have it; None otherwise.

    A number that most of the folds do not have is None, so that no sentence tells of what a few of them did.
    """
    known = [evidence for evidence in found if evidence is not None]
    if not _is_most(len(known), len(found)):
        return None
    return {name: _median([e[name] for e in known], len(found)) for name in known[0]}


def _rises_on_average(seen: Sequence[FoldCurves]) -> bool:
    """Tell whether the folds' validation losses, added up, rose in the last tenth of the epochs: a few may outweigh."""
    losses = [(fold.valid_loss, fold.tail) for fold in seen if fold.fall(fold.valid_loss) is not None]
    return sum(fmean(own[-tail:]) - fmean(own[-2 * tail : -tail]) for own, tail in losses) > 0


def _is_most(n: int, n_folds: int) -> bool:
    return 2 * n > n_folds


def _median(values: Sequence[float | int | None], n_folds: int) -> float | int | None:
    known = [v for v in values if v is not None]
    if not _is_most(len(known), n_folds):
        return None
    middle = median(known)
    return round(middle) if all(isinstance(v, int) for v in known) else middle


def _diverged(fold: FoldCurves, n_folds: int) -> Diagnosis:
    epoch = fold.diverged_in
    assert epoch is not None
    last_loss = fold.train_loss[-1] if epoch > 1 and fold.train_loss else None
    norms = [(r.gradient_norm, r.epoch) for r in fold.readings if r.gradient_norm is not None]
    norm, norm_epoch = norms[-1] if norms else (None, None)
    before = []
    if last_loss is not None:
        before.append(f"the training loss of epoch {epoch - 1} was {number(last_loss, 3)}")
    if norm is not None:
        before.append(f"the last gradient norm seen was {number(norm, 3)} (epoch {norm_epoch})")
    known = f" Before that, {' and '.join(before)}." if before else " It was never finite at the end of an epoch."
    also = f", as {n_folds - 1} other {'folds' if n_folds > 2 else 'fold'} did" if n_folds > 1 else ""
    return Diagnosis(
        kind="diverged",
        sentence=f"Fold {fold.result.fold} diverged in epoch {epoch}{also}: its loss was not finite.{known} "
        "Try a lower lr, or clip_norm.",
        evidence={
            "fold": fold.result.fold, "epoch": epoch, "folds": n_folds, "train_loss": last_loss, "gradient_norm": norm,
        },
    )  # fmt: skip


def _undefined(fold: FoldCurves, n_folds: int) -> Diagnosis:
    also = f", as in {n_folds - 1} other {'folds' if n_folds > 2 else 'fold'}" if n_folds > 1 else ""
    return Diagnosis(
        kind="undefined",
        sentence=f"The metric is undefined in epoch {fold.undefined_in} of fold {fold.result.fold}{also}: it has no "
        "finite value, although the losses are finite. The training did not diverge: look at the targets of that fold, "
        "or take another metric.",
        evidence={"fold": fold.result.fold, "epoch": fold.undefined_in, "folds": n_folds},
    )


def _rate_too_high(fold: FoldCurves) -> Evidence | None:
    chance, ratio, fit = fold.chance, fold.ratio, fold.fit
    if chance is None or ratio is None or fit is None or ratio < HIGH_RATIO:
        return None
    spikes = _spikes(fold.train_loss, chance)
    blew_up = bool(fold.train_loss) and fold.train_loss[0] > SPIKE * chance
    if not spikes and fit < STUCK and not blew_up:
        return None
    return {"update_ratio": ratio, "spikes": spikes, "loss_share_of_chance": fit}


def _spikes(losses: Sequence[float], chance: float) -> int:
    """Count the epochs whose loss is above the chance loss and above `SPIKE` times the least loss before them."""
    least, n = math.inf, 0
    for loss in losses:
        n += loss > max(SPIKE * least, chance)
        least = min(least, loss)
    return n


def _tell_rate_too_high(e: Evidence) -> str:
    jumps = f", the training loss jumped up {_times(e['spikes'])}" if e["spikes"] else ""
    return (
        f"The learning rate looks too high: updates reached {_short(e['update_ratio'], 2)} of the weights (about 1e-3 "
        f"is healthy){jumps}, and the last training loss is {_of_chance(e)}."
    )


def _times(n: float | int | None) -> str:
    return "once" if n == 1 else f"{n} times"


def _short(value: float | int | None, digits: int = 3) -> str:
    return number(float(value or 0), digits)


def _percent(share: float | int | None) -> str:
    return f"{100 * (share or 0):.2g} %" if abs(share or 0) < 0.995 else f"{100 * (share or 0):.0f} %"


def _of_chance(e: Evidence) -> str:
    return f"{_percent(e['loss_share_of_chance'])} of that of knowing nothing"


def _rate_too_low(fold: FoldCurves) -> Evidence | None:
    ratio, fit, fall = fold.ratio, fold.fit, fold.fall(fold.valid_loss)
    if ratio is None or ratio >= LOW_RATIO or fit is None:
        return None
    is_falling = fall is not None and fall > 0
    if fit < VISIBLE or (fit < POOR_FIT and not is_falling):
        return None
    return {"update_ratio": ratio, "loss_share_of_chance": fit, "fall": fall}


def _tell_rate_too_low(e: Evidence) -> str:
    fall = e["fall"]
    falling = (
        f"the validation loss still fell by {_percent(fall)} in the last tenth of the epochs"
        if fall is not None and fall > 0
        else f"the training loss is still {_of_chance(e)}"
    )
    return (
        f"The learning rate looks too low: updates are at most {_short(e['update_ratio'], 1)} of the weights (about "
        f"1e-3 is healthy), and {falling}."
    )


def _worst_layer(fold: FoldCurves, share_of: Callable[[LayerReading], float | None], limit: float) -> Evidence | None:
    if fold.last is None:
        return None
    shares = [(share_of(layer) or 0.0, number) for number, layer in enumerate(fold.last.layers, start=1)]
    share, layer = max(shares, key=lambda pair: pair[0])
    return {"share": share, "layer": layer, "epoch": fold.last.epoch} if share >= limit else None


def _dead_units(fold: FoldCurves) -> Evidence | None:
    return _worst_layer(fold, lambda layer: layer.dead, DEAD_SHARE)


def _tell_dead_units(e: Evidence) -> str:
    return (
        f"{_percent(e['share'])} of the units of layer {e['layer']} are dead after epoch {e['epoch']}: zero for every "
        "row looked at, so they learn no more. Try a lower lr, or leaky_relu."
    )


def _saturated(fold: FoldCurves) -> Evidence | None:
    return _worst_layer(fold, lambda layer: layer.saturated, SATURATED_SHARE)


def _tell_saturated(e: Evidence) -> str:
    return (
        f"Layer {e['layer']} is saturated: after epoch {e['epoch']}, {_percent(e['share'])} of its activations are "
        "where the function is flat, and hardly pass a gradient on. Try smaller initial weights (init_gain), a lower "
        "lr, or norm: batch."
    )


def _overfitting(fold: FoldCurves) -> Evidence | None:
    losses, chance, last = fold.valid_loss, fold.chance, fold.last
    if chance is None or last is None or last.train_loss is None or len(losses) < FEWEST_EPOCHS:
        return None
    least, now = min(losses), fmean(losses[-fold.tail :])
    rise, gap = now - least, now - last.train_loss
    rose = rise > max(RISE * least, VISIBLE * chance) and last.train_loss < least
    if not rose and (gap < GAP * chance or last.train_loss > POOR_FIT * chance):
        return None
    epoch = losses.index(least) + 1 if rose else None
    return {"least": least if rose else None, "epoch": epoch, "now": now, "train_loss": last.train_loss}


def _tell_overfitting(e: Evidence) -> str:
    was = f"was least after epoch {e['epoch']} ({_short(e['least'])}) and ended at" if e["epoch"] else "ended at"
    return (
        f"It overfits: the validation loss {was} {_short(e['now'])}, while the loss on training rows is "
        f"{_short(e['train_loss'])}. Try dropout, weight_decay, fewer epochs or a smaller network."
    )


def _underfitting(fold: FoldCurves) -> Evidence | None:
    fit, fall = fold.fit, fold.fall(fold.valid_loss)
    if fit is None or fit < POOR_FIT or (fall is not None and fall > FALL):
        return None
    return {"loss_share_of_chance": fit, "fall": fall}


def _tell_underfitting(e: Evidence) -> str:
    return (
        f"It underfits: the loss on rows that it was trained on is still {_of_chance(e)}, and falls no more. The "
        "network is too small or held back too much (dropout, weight_decay, l1), or the columns say little about the "
        "target."
    )


def _still_improving(fold: FoldCurves) -> Evidence | None:
    fall, epochs = fold.fall(fold.valid_loss), fold.result.epochs
    if fall is None or fall < FALL or epochs < fold.hp.epochs or fold.has_risen(fold.valid_loss):
        return None
    if fold.chance is not None and fall * fold.valid_loss[-1] < VISIBLE / 10 * fold.chance:
        return None
    return {"fall": fall, "epochs": epochs}


def _tell_still_improving(e: Evidence) -> str:
    return (
        f"It was still improving when its {e['epochs']} epochs ended: the validation loss fell by "
        f"{_percent(e['fall'])} in the last tenth of them. More epochs should help."
    )


_Rule: TypeAlias = tuple[Kind, Callable[[FoldCurves], Evidence | None], Callable[[Evidence], str], tuple[Kind, ...]]
_RULES: tuple[_Rule, ...] = (
    ("rate_too_high", _rate_too_high, _tell_rate_too_high, ()),
    ("dead_units", _dead_units, _tell_dead_units, ()),
    ("saturated", _saturated, _tell_saturated, ()),
    ("rate_too_low", _rate_too_low, _tell_rate_too_low, ("dead_units", "saturated")),
    ("overfitting", _overfitting, _tell_overfitting, ("rate_too_high",)),
    (
        "underfitting", _underfitting, _tell_underfitting,
        ("rate_too_high", "rate_too_low", "dead_units", "saturated", "overfitting"),
    ),
    ("still_improving", _still_improving, _tell_still_improving, ("rate_too_high", "rate_too_low", "overfitting")),
)  # fmt: skip
"""(kind, function that finds its evidence in a fold, function that makes its sentence, kinds that explain it)."""
