"""Histograms of the activations and gradients of one trial, which is trained again for them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from foldstep.models.eager.workspace import Workspace
from foldstep.models.weights import Weights
from foldstep.service.contract.lease import Work
from foldstep.service.contract.report import TrialResult
from foldstep.worker.client import MasterClient
from foldstep.worker.rerun import rerun
from foldstep.worker.train.activity import LayerActivity
from foldstep.worker.train.probe import Probe

N_BINS = 24


@dataclass(frozen=True)
class Histogram:
    """How often values fall into bins of equal width.

    Attributes:
        epoch: after which; gradients are those of its last step, before clipping and penalties.
        layer: 1 for the first; the last is the output layer, which has gradients alone.
        what: `activations` or `gradients` (of the weights and biases).
        low: left edge of the first bin.
        high: right edge of the last bin.
        counts: values in each bin; all zero where none is finite.
        not_finite: values in no bin.
    """

    fold: int
    epoch: int
    layer: int
    what: str
    low: float
    high: float
    counts: list[int]
    not_finite: int

    @classmethod
    def of(cls, values: Sequence[np.ndarray], **place: Any) -> Histogram:
        """Count all values, in bins between the least and the greatest finite one."""
        flat = np.concatenate([np.asarray(v, dtype=np.float64).ravel() for v in values])
        finite = flat[np.isfinite(flat)]
        low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 0.0)
        counts = np.histogram(finite, bins=N_BINS, range=(low, high))[0]
        return cls(**place, low=low, high=high, counts=counts.tolist(), not_finite=len(flat) - len(finite))


@dataclass
class Wanted:
    """The epochs to make histograms of, and the histograms made so far.

    Attributes:
        epochs: 1 for the first; empty for the first one and the last one that the trial may train.
    """

    epochs: Collection[int]
    found: list[Histogram] = field(default_factory=list)


class HistogramProbe(Probe):
    """A probe that also makes histograms of activations and gradients, at the requested epochs."""

    def __init__(self, *args: Any, wanted: Wanted) -> None:
        super().__init__(*args)
        self._wanted = wanted
        self._open: list[int] = []
        self._gradients: dict[int, Weights] = {}
        self._activations: dict[tuple[int, int], list[np.ndarray]] = {}

    def begin(self, epoch: int) -> None:
        """Start an epoch; a requested one is observed even if the probe takes no reading of it."""
        last = max(m.until or m.hp.epochs for m in self.members)
        is_wanted = epoch in (self._wanted.epochs or (1, last))
        super().begin(epoch)
        self._gradients, self._activations = {}, {}
        self._open = [
            i
            for i, m in enumerate(self.members)
            if is_wanted and m.progress.end is None and m.progress.epoch == epoch - 1
        ]
        if self._open and not self.is_on:
            self.turn_on()

    def before_step(self) -> None:
        """Copy the gradients, which are complete at this point."""
        super().before_step()
        self._gradients = {i: self.net.gradients.take(self.net.layout, i) for i in self._open}

    def _passed(self, layers: Sequence[LayerActivity], space: Workspace, shares: Tensor) -> None:
        for i in self._open:
            n_rows = int((shares[i] > 0).sum())
            for layer, width in enumerate(self.members[i].hp.hidden):
                values = space.hidden[layer][i, :width, :n_rows].cpu().numpy().copy()
                self._activations.setdefault((i, layer), []).append(values)
        super()._passed(layers, space, shares)  # which overwrites the activations

    def note(self, live: Sequence[bool]) -> None:
        """Take the usual reading of a probe, and make the histograms of the epoch."""
        super().note(live)
        for i in self._open:
            place = {"fold": self.members[i].fold, "epoch": self.epoch}
            for layer, gradients in enumerate(self._gradients[i]):
                values = self._activations.get((i, layer))
                if values:
                    self._wanted.found.append(Histogram.of(values, **place, layer=layer + 1, what="activations"))
                parts = list(gradients.values())
                self._wanted.found.append(Histogram.of(parts, **place, layer=layer + 1, what="gradients"))


def histograms(
    client: MasterClient, work: Work, cache_dir: Path, epochs: Collection[int]
) -> tuple[list[Histogram], TrialResult]:
    """Train a trial again as `rerun` does, and make histograms on the way.

    Args:
        client: the master that has the data.
        work: what the master has of the trial and its search.
        cache_dir: where data files are kept.
        epochs: after which to make histograms; empty for the first and the last.

    Returns:
        The histograms, by fold, epoch and layer, and the result of the training.

    Raises:
        NotFound: the master no longer has the data.
        DatasetUnreadable: the data file is damaged.
    """
    wanted = Wanted(epochs)
    result = rerun(client, work, cache_dir, partial(HistogramProbe, wanted=wanted))
    return sorted(wanted.found, key=lambda h: (h.fold, h.epoch, h.layer, h.what)), result
