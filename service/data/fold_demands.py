"""Check that a search's metric has a value in every fold, before anything trains; note what it cannot tell there."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from foldstep.models.catalog.metrics import METRICS, Metric, metrics_of
from foldstep.service.contract.draws import Rows
from foldstep.service.contract.errors import Fault
from foldstep.service.data.baseline import baselines, mean_over_folds
from foldstep.service.data.fold_targets import FoldTargets
from foldstep.service.data.target_report import unequal_from, unflattered_metrics

Flags: TypeAlias = npt.NDArray[np.bool_]
MOST_CLASSES_NAMED = 5
_IS_SECOND: Flags = np.array([False, True])


def fold_faults(metric: Metric, folds: FoldTargets) -> Iterator[Fault]:
    """Find the folds whose validation targets have no score; one fault for all of them."""
    if not metric.needs_two_values:
        return
    alone = {i: what for i, (_, valid) in enumerate(folds.folds) if (what := _alone(folds, valid)) is not None}
    if not alone:
        return
    first, what = next(iter(alone.items()))
    several = "rows of at least two classes" if folds.labels is not None else "targets that differ"
    yield Fault(
        code="undefined_metric",
        path="metric.name",
        expected=f"{several} in the validation part of every fold, which {metric.name} needs",
        got=f"{what} of {_counted(folds, first, len(alone))}",
        hint=_ways_out(metric, folds),
    )


def _alone(folds: FoldTargets, valid: Rows) -> str | None:
    """Say what the targets of a validation part are where all are equal, or too close to tell apart; None otherwise."""
    target = folds.target[valid]
    with np.errstate(over="ignore", invalid="ignore"):
        is_constant = target.min() == target.max() or (folds.labels is None and target.var() == 0)
    if not is_constant:
        return None
    rows = "the only row" if len(valid) == 1 else f"all {len(valid)} rows"
    if folds.labels is None:
        return f"{target[0]:g} in {rows}"
    return f"the class {folds.labels[target[0]]} in {rows}"


def _counted(folds: FoldTargets, first: int, n: int) -> str:
    """Name the first of some folds, and how many there are of how many."""
    if n == 1:
        return folds.name(first)
    return f"{folds.name(first)}, the first of {n} such folds"


def _ways_out(metric: Metric, folds: FoldTargets) -> str:
    cv, is_classes = folds.cv, folds.labels is not None
    ways = []
    if cv.column is not None:
        ways.append(f"give {cv.column} fewer values, each with {'several classes' if is_classes else 'several rows'}")
    elif cv.holdout is not None:
        ways.append("hold out more rows")
    else:
        ways.append("take fewer folds")
    if is_classes and cv.stratify is False and cv.time is None and cv.column is None:
        ways.append("leave cv.stratify out")
    table = [METRICS[name] for name in metrics_of(metric.task)]
    others = [m.name for m in table if not m.needs_two_values and m.suits_any_target]
    ways.append(f"set metric: {', '.join(others[:-1])} or {others[-1]}")
    return ", or ".join(ways)


def constant_score(metric: Metric, folds: FoldTargets) -> float | Fault:
    """Compute the baseline, the mean score of the constant answer; a fault where it is not finite."""
    scores = baselines(metric, folds)
    mean = mean_over_folds(scores)
    if math.isfinite(mean):
        return mean
    bad = [i for i, score in enumerate(scores) if not math.isfinite(score)]
    got = f"{scores[bad[0]]:g} in {_counted(folds, bad[0], len(bad))}" if bad else f"{mean:g} as the mean of the folds"
    expected = f"a finite {metric.name} of the constant answer in every fold"
    return Fault(code="undefined_metric", path="metric.name", expected=expected, got=got, hint=metric.undefined_where)


def fold_notes(metric: Metric, folds: FoldTargets) -> Iterator[str]:
    """Note the folds that lack classes, in their training part or, where that changes the score, in the other one."""
    if folds.labels is None:
        return
    unlearned = [(i, (train == 0) & (valid > 0)) for i, (train, valid) in enumerate(folds.counts)]
    yield from _noted(
        folds, unlearned, "trains without {classes}, which its validation part has: no such row can be predicted right"
    )
    absent = [(i, valid == 0) for i, (_, valid) in enumerate(folds.counts)]
    if metric.is_of_second_class and len(folds.labels) == 2:
        absent = [(i, classes & _IS_SECOND) for i, classes in absent]
        yield from _noted(folds, absent, f"validates without {{classes}}: {metric.name} is 0 there whatever is said")
    elif metric.averages_classes:
        said = f"validates without {{classes}}: {metric.name} is there the mean over the others"
        yield from _noted(folds, absent, said)


def _noted(folds: FoldTargets, lacking: Sequence[tuple[int, Flags]], said: str) -> Iterator[str]:
    """Write a note about the folds that lack classes; none where no fold does."""
    assert folds.labels is not None
    hit = [(i, classes) for i, classes in lacking if classes.any()]
    if not hit:
        return
    fold, classes = hit[0]
    labels = [folds.labels[c] for c in np.flatnonzero(classes)]
    more = f" and {len(labels) - MOST_CLASSES_NAMED} more" if len(labels) > MOST_CLASSES_NAMED else ""
    named = f"the class{'es' if len(labels) > 1 else ''} {', '.join(labels[:MOST_CLASSES_NAMED])}{more}"
    name, n_others = folds.name(fold), len(hit) - 1
    others = f" The like holds of {n_others} other {'folds' if n_others > 1 else 'fold'}." if n_others else ""
    yield f"{name[0].upper()}{name[1:]} {said.format(classes=named)}.{others}"


def unequal_note(metric: Metric, folds: FoldTargets, baseline: float) -> Iterator[str]:
    """Note classes so unequal that always saying the commonest one looks good in this metric."""
    if folds.labels is None or not metric.rewards_commonest_class:
        return
    counts = np.bincount(folds.target)
    share, few = counts.max() / counts.sum(), unequal_from(len(counts))
    if share >= few and baseline >= few:
        yield (
            f"Class {folds.labels[int(counts.argmax())]} has {100 * share:.3g} % of the rows: a constant answer has "
            f"{metric.name} {baseline:.3g}; consider metric: {unflattered_metrics()}."
        )
