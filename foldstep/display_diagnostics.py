"""The diagnostics of a trial in the CLI: the diagnoses in words, a table of its layers, histograms."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from statistics import fmean, median
from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from foldstep.service.contract.diagnostics import LayerReading, Reading
from foldstep.service.contract.leaderboard import TrialDiagnostics
from foldstep.service.contract.numbers import number

if TYPE_CHECKING:
    from foldstep.worker.histograms import Histogram  # brings torch, which no other command needs

_NONE = "–"
_COLUMNS: tuple[tuple[str, Callable[[LayerReading], float | None]], ...] = (
    ("update / weights", lambda layer: layer.update_ratio),
    ("mean", lambda layer: layer.mean),
    ("spread", lambda layer: layer.spread),
    ("saturated", lambda layer: layer.saturated),
    ("dead", lambda layer: layer.dead),
)


def shown(seen: TrialDiagnostics) -> Iterator[RenderableType]:
    """Render the diagnoses, one on each line, the scores of several targets, and the layers at the last probe."""
    for diagnosis in seen.diagnoses:
        yield Text(f"• {diagnosis.sentence}")
    scored = [fold.target_scores for fold in seen.folds.values() if fold.target_scores]
    if scored:
        yield targets(seen, scored)
    last = [fold.probes[-1] for fold in seen.folds.values() if fold.probes]
    if last:
        yield layers(last)


def targets(seen: TrialDiagnostics, scored: Sequence[Sequence[float | None]]) -> Table:
    """Build the table of the targets' own scores, (folds, targets): the mean over the folds, and each fold's."""
    table = Table("target", title=f"{seen.metric.name} of each target", title_justify="left")
    for heading in ("mean", *(f"fold {fold}" for fold, view in seen.folds.items() if view.target_scores)):
        table.add_column(heading, justify="right")
    for name, own in zip(seen.targets, zip(*scored, strict=True), strict=True):
        known = [score for score in own if score is not None]
        mean = number(fmean(known), 5) if len(known) == len(own) else _NONE
        table.add_row(escape(name), mean, *(_NONE if score is None else number(score, 5) for score in own))
    return table


def layers(readings: Sequence[Reading]) -> Table:
    """Build the table of layers: each value is the median over the folds' last probes."""
    epochs = sorted({reading.epoch for reading in readings})
    when = f"after epoch {epochs[0]}" if len(epochs) == 1 else f"after epochs {epochs[0]} to {epochs[-1]}"
    table = Table("layer", title=f"layers {when}, median of the folds", title_justify="left")
    for heading, _ in _COLUMNS:
        table.add_column(heading, justify="right")
    n_layers = len(readings[0].layers)
    for i in range(n_layers):
        name = "output" if i == n_layers - 1 else str(i + 1)
        table.add_row(name, *(_middle([value_of(r.layers[i]) for r in readings]) for _, value_of in _COLUMNS))
    return table


def _middle(values: Sequence[float | None]) -> str:
    known = [v for v in values if v is not None]
    return number(median(known), 3) if known else _NONE


_BARS = " ▁▂▃▄▅▆▇█"


def histograms(found: Iterable[Histogram]) -> Iterator[Table]:
    """Build a table for each fold and epoch: a line of bars for each layer, scaled to its fullest bin."""
    for (fold, epoch), own in groupby(found, key=lambda h: (h.fold, h.epoch)):
        table = Table("layer", "", title=f"fold {fold}, after epoch {epoch}", title_justify="left")
        table.add_column("least", justify="right")
        table.add_column("counts", no_wrap=True)
        table.add_column("greatest", justify="left")
        for histogram in own:
            bars = Text(bar_line(histogram.counts))
            if histogram.not_finite:
                bars.append(f" {histogram.not_finite} not finite")
            low, high = number(histogram.low, 3), number(histogram.high, 3)
            table.add_row(str(histogram.layer), histogram.what, low, bars, high)
        yield table


def bar_line(counts: Sequence[int]) -> str:
    """Draw the counts as bars, one character for each bin; a bin that is not empty is never blank."""
    most = max(counts, default=0)
    return "".join(_BARS[math.ceil(8 * n / most)] if n else _BARS[0] for n in counts)
