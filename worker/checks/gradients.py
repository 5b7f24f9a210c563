"""`gradients`: the backward pass, written by hand, against centred differences in double precision.

As the notes of Stanford's CS231n have it (Karpathy, "Neural networks part 3", gradient checks):
(L(p + h) - L(p - h)) / 2h with h = 1e-5, compared by relative error, for a few entries of every parameter, after a
short burn-in, since at the start gradients are not yet what they will be. Dropout drops the same units in every pass.
Where a step of h carries a unit over a kink of its activation the difference says nothing; such an entry is counted and
not judged.

All networks are probed in lockstep: no operation mixes members, so one pass moves one entry of each network.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple, TypeAlias

import numpy as np
import torch
from torch import Tensor

from foldstep.models.catalog.activations import ACTIVATIONS
from foldstep.models.hyperparameters import Hyperparameters
from foldstep.models.stack import STATISTICS
from foldstep.service.contract.checks import CheckResult
from foldstep.worker.checks.setting import CheckSetting, finite, members, steady, with_rows
from foldstep.worker.data.inputs import FoldData
from foldstep.worker.train.trainer import PackTrainer

NAME = "gradients"
N_ROWS = 16
BURN_IN = 10
STEP = 1e-5
ENTRIES = 2
"""Entries compared of each parameter: the one with the greatest gradient, and others at random."""
SMOOTH_ERROR, KINKED_ERROR = 1e-6, 1e-4
"""Greatest relative errors allowed. The notes call 1e-7 fine where all is smooth, and 1e-4 where there are kinks. Over
4,500 entries of all activations and norms on four data sets the greatest was 1.3e-7."""
ROUNDING = 2e-10
"""Rounding error of a centred difference: about 1e-15 of the loss over 2 h, with a margin. The relative error of a
smaller gradient, which rounding would decide, is taken over `ROUNDING / SMOOTH_ERROR` instead."""

Place: TypeAlias = tuple[int, tuple[int, ...]]
"""A parameter, by its position in `Stack.views`, and an entry of it."""


class Entry(NamedTuple):
    """One entry of one parameter of one network, with its gradient by both methods."""

    network: int
    layer: int
    name: str
    by_hand: float
    by_difference: float
    is_kink: bool

    @property
    def error(self) -> float:
        """Relative error, |a - n| / max(|a|, |n|), for tiny gradients over what rounding allows; inf if not finite."""
        a, n = self.by_hand, self.by_difference
        error = abs(a - n) / max(abs(a), abs(n), ROUNDING / SMOOTH_ERROR)
        return error if np.isfinite(error) else float("inf")


def gradients(setting: CheckSetting) -> CheckResult:
    """Compare backward pass and centred differences, for every activation, norm and loss among the candidates."""
    networks = _networks(setting)
    entries = probe(setting, networks)
    judged = [entry for entry in entries if not entry.is_kink]
    if not judged:
        return CheckResult(name=NAME, outcome="skipped", sentence="Every entry that was tried sits at a kink.")
    wrong = [entry for entry in judged if entry.error > _allowed(networks[entry.network])]
    worst = max(judged, key=lambda entry: entry.error)
    n_kinks = len(entries) - len(judged)
    kinks = f" {n_kinks} at kinks were not judged." if n_kinks else ""
    sentence = f"{len(judged)} entries agree with centred differences, to a relative error of {worst.error:.1e}."
    if wrong:
        sentence = f"{len(wrong)} of {len(judged)} entries differ from centred differences. {_told(worst, networks)}"
    return CheckResult(
        name=NAME,
        outcome="failed" if wrong else "passed",
        sentence=sentence + kinks,
        look_at=_look_at(wrong, judged, networks) if wrong else None,
        numbers={"greatest_error": finite(worst.error), "entries": len(judged), "kinks": n_kinks, "wrong": len(wrong)},
    )


def _allowed(hp: Hyperparameters) -> float:
    return KINKED_ERROR if any(ACTIVATIONS[a].kinked for a in hp.activation) else SMOOTH_ERROR


def _told(entry: Entry, networks: Sequence[Hyperparameters]) -> str:
    return (
        f"The worst is a {entry.name} of layer {entry.layer + 1} of a network with {_words(networks[entry.network])}: "
        f"{entry.by_hand:.6g} by the backward pass, {entry.by_difference:.6g} by differences."
    )


def _words(hp: Hyperparameters) -> str:
    activations = " and ".join(dict.fromkeys(hp.activation)) or "no hidden layer"
    return f"{activations}, norm {hp.norm}"


def _look_at(wrong: Iterable[Entry], judged: Iterable[Entry], networks: Sequence[Hyperparameters]) -> str:
    guilty = {name for entry in wrong for name in _features(networks[entry.network])}
    fine = {e.network for e in judged} - {e.network for e in wrong}
    guilty -= {name for network in fine for name in _features(networks[network])}
    suspects = f" of {', '.join(sorted(guilty))}" if guilty else ""
    return f"Look at the backward pass{suspects}: this is a fault of the program, so please report it with the spec."


def _features(hp: Hyperparameters) -> set[str]:
    """Name the parts of a network that have a separate backward pass: activations, normalisation and loss."""
    norm = {f"norm {hp.norm}"} - {"norm none"}
    return {*hp.activation, *norm, f"loss {hp.loss}" if hp.loss else "the loss"}


def _networks(setting: CheckSetting) -> list[Hyperparameters]:
    """Choose shallow networks that together have every feature, with an optimizer and a rate that do no harm."""
    seen: set[str] = set()
    chosen = []
    for hp in sorted(setting.candidates, key=lambda hp: len(hp.hidden)):
        if not _features(hp) <= seen:
            seen |= _features(hp)
            kept = {"dropout": hp.dropout, "input_dropout": hp.input_dropout, "label_smoothing": hp.label_smoothing}
            chosen.append(steady(replace(hp, optimizer="adam"), batch_size=N_ROWS, epochs=BURN_IN, **kept))
    return chosen


def probe(setting: CheckSetting, networks: Sequence[Hyperparameters]) -> list[Entry]:
    """Compute both gradients of a few entries of every parameter of some networks, after the burn-in."""
    training = setting.training([_first_rows], torch.float64)
    entries = []
    for pack in training.packs(members(networks)):
        trainer = training.trainer(pack)
        for epoch in range(1, BURN_IN + 1):
            trainer.train_epoch(epoch)
        entries += _Probe(trainer, setting.seed).entries()
    return entries


def _first_rows(data: FoldData) -> FoldData:
    return with_rows(data, np.arange(min(N_ROWS, len(data.y_train))))


class _Probe:
    """One pack with fixed parameters, of which one entry of each network at a time is moved up and down."""

    def __init__(self, trainer: PackTrainer, seed: int) -> None:
        self._trainer, self._pass = trainer, trainer.probe(BURN_IN + 1)
        net, layout = trainer.net, trainer.net.layout
        self._pass()
        everyone = range(len(layout))
        self._gradients = [[(i, n, v.clone()) for i, n, v in net.gradients.views(layout, m)] for m in everyone]
        self._parameters = [
            [v for _, name, v in net.parameters.views(layout, m) if name not in STATISTICS] for m in everyone
        ]
        self._places = [
            _places([v for _, _, v in own], seed, member.trial)
            for own, member in zip(self._gradients, trainer.members, strict=True)
        ]

    def entries(self) -> list[Entry]:
        """Measure all entries: the first one of every network, then the second ones, and so on."""
        found = []
        for turn in range(max(map(len, self._places))):
            places = {m: own[turn] for m, own in enumerate(self._places) if turn < len(own)}
            found += self._turn(places)
        return found

    def _turn(self, places: dict[int, Place]) -> list[Entry]:
        above, sides_above = self._moved(places, STEP)
        below, sides_below = self._moved(places, -STEP)
        return [
            Entry(
                network=self._trainer.members[m].trial,
                layer=self._gradients[m][part][0],
                name=self._gradients[m][part][1],
                by_hand=float(self._gradients[m][part][2][entry]),
                by_difference=float(above[m] - below[m]) / (2 * STEP),
                is_kink=self._crosses(m, sides_above, sides_below),
            )
            for m, (part, entry) in places.items()
        ]

    def _moved(self, places: dict[int, Place], by: float) -> tuple[Tensor, list[Tensor]]:
        """Move one entry of each network; compute the losses, and on which side of the kinks each unit is."""
        before = {m: self._parameters[m][part][entry].clone() for m, (part, entry) in places.items()}
        for m, (part, entry) in places.items():
            self._parameters[m][part][entry] += by
        losses = self._pass()
        sides = [(h > 0).to(torch.int8) - (h < 0).to(torch.int8) + (h >= 6) for h in self._trainer.activations]
        for m, (part, entry) in places.items():
            self._parameters[m][part][entry] = before[m]
        return losses, sides

    def _crosses(self, m: int, above: Sequence[Tensor], below: Sequence[Tensor]) -> bool:
        activations = self._trainer.members[m].hp.activation
        layers = zip(activations, above, below, strict=False)  # the pack may have deeper networks
        return any(ACTIVATIONS[name].kinked and not torch.equal(a[m], b[m]) for name, a, b in layers)


def _places(parts: Sequence[Tensor], seed: int, network: int) -> list[Place]:
    """Choose entries of every parameter: the one with the greatest gradient, and others at random."""
    generator = np.random.Generator(np.random.Philox(key=[seed, network]))
    places: list[Place] = []
    for part, values in enumerate(parts):
        drawn = generator.integers(values.numel(), size=ENTRIES - 1)
        numbers = dict.fromkeys([int(values.abs().argmax()), *map(int, drawn)])
        places += [(part, tuple(int(k) for k in np.unravel_index(n, values.shape))) for n in numbers]
    return places
