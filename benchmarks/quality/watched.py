"""Trials of one space trained in packs, with what every fold's network says of held-out rows after every epoch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from benchmarks.quality.packed import problem_of
from foldstep.models.fnn import softmax
from foldstep.models.layout import padded
from foldstep.service.contract.lease import LeasedTrial
from foldstep.service.contract.parse import parse_spec
from foldstep.service.planner.acquisition import random_points
from foldstep.worker.assignment import TrialWork
from foldstep.worker.data.inputs import FoldSource
from foldstep.worker.data.load import Table
from foldstep.worker.data.targets import truth
from foldstep.worker.rerun import Keeper
from foldstep.worker.settings import PACK_BYTES_CPU
from foldstep.worker.steps.engine import Engine
from foldstep.worker.train.loop import Training
from foldstep.worker.train.member import Member
from foldstep.worker.train.trainer import PackTrainer, group_of

Floats = npt.NDArray[np.float64]


@dataclass
class Watched:
    """One trial.

    Attributes:
        scores: (folds, epochs) validation scores; NaN where there is none.
        losses: (folds, epochs) validation losses.
        predicted: (folds, epochs, rows) of held-out rows: values, or probabilities of the second class; float32.
    """

    scores: Floats
    losses: Floats
    predicted: npt.NDArray[np.float32]


@dataclass
class HeldOut:
    """Held-out rows as each fold's preparation makes them, and what members say of them after every epoch."""

    source: FoldSource
    table: Table
    said: dict[tuple[int, int], list[npt.NDArray[np.float32]]] = field(default_factory=dict)

    def inputs(self, member: Member, n_inputs: int) -> Tensor:
        """Prepare the rows as the member's fold prepares its own, (rows, n_inputs)."""
        data = self.source.fold(*group_of(member))
        x = data.preprocessor.transform(self.table, self.source.splits.test)
        return torch.nn.functional.pad(torch.from_numpy(x.copy()), (0, n_inputs - x.shape[1]))

    def note(self, members: Sequence[Member], outputs: Floats) -> None:
        """Keep the predictions of members that still train; `outputs` are (members, rows, outputs)."""
        for member, own in zip(members, outputs, strict=True):
            said = self.said.setdefault(member.key, [])
            if len(said) == member.progress.epoch:
                target = self.source.fold(*group_of(member)).target
                values = softmax(own)[:, 1] if target.classes is not None else target.values(own[:, 0], None)
                said.append(values.astype(np.float32))

    def truth(self, member: Member) -> Floats:
        """Read the truth of the rows, in the coding of a member's fold: values, or 1 for the second class."""
        columns = [self.table.columns[name] for name in self.source.target_names]
        target = self.source.fold(*group_of(member)).target
        return truth(target, columns, self.source.splits.test).astype(float)


class WatchedTraining(Training):
    """A training whose packs also predict held-out rows after every epoch."""

    def __init__(self, held_out: HeldOut, metric: str, engine: Engine) -> None:
        super().__init__(held_out.source, metric, engine)
        self._held_out = held_out

    def trainer(self, members: Sequence[Member]) -> PackTrainer:
        """Make the trainer of one pack, whose `evaluate` also predicts."""
        trainer = super().trainer(members)
        net, own_evaluate = trainer.net, trainer.evaluate
        first = {slot.group: member for slot, member in zip(net.layout.slots, trainer.members, strict=True)}
        n_inputs = max(slot.n_inputs for slot in net.layout.slots)
        inputs = [self._held_out.inputs(first[group], padded(n_inputs)) for group in sorted(first)]
        space = net.workspace(len(inputs[0]), training=False)

        def evaluate() -> Tensor:
            scores = own_evaluate()
            outputs = net.evaluate(inputs, space, trainer.scored_weights)[:, : net.layout.n_outputs]
            self._held_out.note(trainer.members, outputs.transpose(1, 2).double().numpy())
            return scores

        trainer.evaluate = evaluate  # type: ignore[method-assign]
        return trainer


def watched(spec: dict[str, Any], file: Path, trials: int, seed: int) -> tuple[list[Watched], Floats]:
    """Train random trials of a spec's space in packs on one thread; a trial that diverged is left out.

    Args:
        spec: of a search, with a held-out part of its data; the target is a number, or has two classes.
        file: the table.
        trials: how many are drawn.
        seed: of the draws.

    Returns:
        The trials, and the truth of the held-out rows, see `HeldOut.truth`.
    """
    torch.set_num_threads(1)
    problem, source, table = problem_of(spec, file)
    points = random_points(parse_spec(spec).space, trials, np.random.default_rng(seed))
    works = [
        TrialWork(
            LeasedTrial(number=number, params=params), source.n_folds, problem.seed, problem.metric.direction, None
        )
        for number, params in enumerate(points)
    ]
    held_out = HeldOut(source, table)
    training = WatchedTraining(held_out, problem.metric.name, Engine(torch.device("cpu"), PACK_BYTES_CPU))
    training.train([member for work in works for member in work.members], Keeper(dict(enumerate(works))))
    found = [_watched(work, held_out) for work in works]
    return [one for one in found if one is not None], held_out.truth(works[0].members[0])


def _watched(work: TrialWork, held_out: HeldOut) -> Watched | None:
    progress = [member.progress for member in work.members]
    if any(None in one.scores or one.epoch != work.members[0].hp.epochs for one in progress):
        return None
    predicted = np.stack([np.stack(held_out.said.pop(member.key)) for member in work.members])
    scores = np.array([one.scores for one in progress], float)
    losses = np.array([one.valid_loss for one in progress], float)  # None becomes NaN
    return Watched(scores, losses, predicted)


def save(path: Path, trials: Sequence[Watched], truth: Floats) -> None:
    """Keep trials and truth in a file."""
    arrays = {
        f"{name}{i}": getattr(t, name) for i, t in enumerate(trials) for name in ("scores", "losses", "predicted")
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, truth=truth, **arrays)


def load(path: Path) -> tuple[list[Watched], Floats]:
    """Read what `save` kept."""
    with np.load(path, allow_pickle=False) as arrays:
        n = (len(arrays.files) - 1) // 3
        trials = [Watched(arrays[f"scores{i}"], arrays[f"losses{i}"], arrays[f"predicted{i}"]) for i in range(n)]
        return trials, arrays["truth"]
