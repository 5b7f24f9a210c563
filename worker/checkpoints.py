"""Checkpoints of folds, each sufficient to predict from, and snapshots to resume training from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from foldstep.models.catalog.metrics import Direction
from foldstep.models.checkpoint import Arrays, CheckpointDamaged, Facts, decode, encode
from foldstep.models.fnn import FNN
from foldstep.models.hyperparameters import resolve
from foldstep.models.stack import Weights
from foldstep.service.contract.checkpoint_name import CheckpointName
from foldstep.service.contract.columns import NumberColumn
from foldstep.service.contract.lease import Lease, LeasedTrial
from foldstep.service.contract.report import TrialResult
from foldstep.service.contract.space import Params
from foldstep.worker.data.load import Table
from foldstep.worker.data.preprocess import Preprocessor
from foldstep.worker.data.target import TargetCoder
from foldstep.worker.train.member import Member, Snapshot
from foldstep.worker.train.stopping import Progress

if TYPE_CHECKING:
    from foldstep.worker.data.inputs import FoldData  # brings scikit-learn, which prediction does not need

_CHECKPOINT, _SNAPSHOT = "checkpoint", "snapshot"


def checkpoint(
    lease: Lease, trial: LeasedTrial, member: Member, weights: Weights, data: FoldData, result: TrialResult
) -> tuple[str, bytes]:
    """Make a file of a fold's best network: its name and its content.

    The trial's whole result is in every fold's file, so that any of them restores the trial's leaderboard row.
    """
    progress = member.progress
    assert progress.best_score is not None
    name = CheckpointName(
        lease.problem.metric.name, progress.best_score, member.trial, member.fold, progress.best_epoch
    )
    facts = {
        "kind": _CHECKPOINT,
        # the key and the names in it are those of the first version, so that every version reads every file
        "context": {"search": lease.search, **lease.problem.model_dump(mode="json")},
        "trial": member.trial,
        "fold": member.fold,
        "epoch": progress.best_epoch,
        "score": progress.best_score,
        "params": trial.params,
        "seed": member.hp.seed,
        "result": result.model_dump(mode="json"),
        "n_inputs": data.n_inputs,
        "n_outputs": data.n_outputs,
        "preprocessing": data.preprocessor.to_json(),
        "target": data.target.to_json(),
    }
    return str(name), encode(_arrays("", weights), facts)


@dataclass(frozen=True)
class Predictor:
    """A network from a checkpoint, with everything that it takes to predict from a table.

    Attributes:
        facts: what the file says about itself.
    """

    net: FNN
    preprocessor: Preprocessor
    target: TargetCoder
    facts: dict[str, Any]

    @classmethod
    def load(cls, path: Path) -> Predictor:
        """Read a checkpoint file.

        Raises:
            CheckpointDamaged: the file is no whole checkpoint.
        """
        arrays, facts = decode(path.read_bytes())
        if facts.get("kind") != _CHECKPOINT:
            raise CheckpointDamaged(f"expected a checkpoint, however: {facts.get('kind')}")
        hp = resolve(facts["params"], seed=facts["seed"])
        net = FNN(hp, facts["n_inputs"], facts["n_outputs"])
        net.load(_weights("", arrays))
        preprocessor = Preprocessor.from_json(facts["preprocessing"])
        return cls(net, preprocessor, TargetCoder.from_json(facts["target"]), facts)

    def outputs(self, table: Table) -> npt.NDArray[np.float64]:
        """Predict class probabilities (rows, classes), or values in the target's units (rows,)."""
        x = self.preprocessor.transform(table, np.arange(table.n_rows))
        with torch.no_grad():
            raw = self.net(torch.from_numpy(x)).double()
        if self.target.classes is None:
            return self.target.values(raw[:, 0].numpy(), self._exposure(table))
        return np.asarray(torch.softmax(raw, dim=1).numpy())

    @property
    def target_name(self) -> str:
        """The column that it predicts."""
        return str(self.facts["context"]["data"]["target"])

    @property
    def columns(self) -> list[str]:
        """The columns that a table must have."""
        fitted = self.preprocessor
        features = [c.name for c in fitted.numbers] + [c.name for c in fitted.categories]
        return features if self._exposure_name is None else [*features, self._exposure_name]

    @property
    def _exposure_name(self) -> str | None:
        name = self.facts["context"]["data"].get("exposure")
        return None if name is None else str(name)

    def _exposure(self, table: Table) -> npt.NDArray[np.float64] | None:
        if self._exposure_name is None:
            return None
        column = table.columns[self._exposure_name]
        if not isinstance(column, NumberColumn):
            raise TypeError(f"expected numbers in the column {self._exposure_name!r}, however: it is text")
        return column.values


@dataclass(frozen=True)
class SavedTrial:
    """The saved state of a trial in training.

    Attributes:
        folds: for each fold begun, its history, the snapshot to resume from or None, and its best weights or None.
        legs: the epochs of the trials that it continues, see `LeasedTrial`.
    """

    params: Params
    fingerprint: str
    folds: dict[int, tuple[Progress, Snapshot | None, Weights | None]]
    legs: Sequence[int] = ()


def encode_snapshot(saved: SavedTrial) -> bytes:
    """Encode a trial's snapshot as a file."""
    arrays: Arrays = {}
    for fold, (_, snapshot, best) in saved.folds.items():
        parts = {"best": best} if snapshot is None else {"best": snapshot.best, **_moving(snapshot, "now_")}
        if snapshot is not None and snapshot.good is not None:
            parts |= _moving(snapshot.good, "good_")
        for part, weights in parts.items():
            if weights is not None:
                arrays |= _arrays(f"fold{fold}.{part}.", weights)
    facts = {
        "kind": _SNAPSHOT,
        "params": saved.params,
        "legs": list(saved.legs),
        "fingerprint": saved.fingerprint,
        "folds": {fold: progress.to_json() for fold, (progress, _, _) in saved.folds.items()},
    }
    return encode(arrays, facts)


def decode_snapshot(content: bytes, params: Params, fingerprint: str, legs: Sequence[int] = ()) -> SavedTrial:
    """Decode what `encode_snapshot` wrote, of a trial or of one that it continues.

    Raises:
        CheckpointDamaged: not whole, or the snapshot of another trial or other data.
    """
    arrays, facts = decode(content)
    if (facts.get("kind"), facts.get("fingerprint")) != (_SNAPSHOT, fingerprint) or not _leads_to(facts, params, legs):
        raise CheckpointDamaged("the snapshot belongs to another trial or other data")
    folds = {}
    for fold, raw in facts["folds"].items():
        parts = _parts_of(f"fold{fold}.", arrays)
        snapshot, good = _snapshot(parts, "now_"), _snapshot(parts, "good_")
        snapshot = None if snapshot is None else replace(snapshot, good=good)
        folds[int(fold)] = (Progress.from_json(raw), snapshot, parts.get("best"))
    return SavedTrial(params, fingerprint, folds, legs)


def _leads_to(facts: Facts, params: Params, legs: Sequence[int]) -> bool:
    """Tell whether a snapshot is of a trial with these legs, or of one that it continues: equal but for the epochs."""
    saved: Params = facts["params"]
    legs_saved = [*facts.get("legs", []), saved.get("epochs")]
    is_begun = [*legs, params.get("epochs")][: len(legs_saved)] == legs_saved
    return is_begun and {**saved, "epochs": params.get("epochs")} == {"epochs": None, **params}


def _moving(snapshot: Snapshot, prefix: str) -> dict[str, Weights | None]:
    """Name the arrays of a snapshot that change in every step; each name begins with `prefix`."""
    named: dict[str, Weights | None] = {
        "parameters": snapshot.parameters,
        "average": snapshot.average,
        **snapshot.optimizer,
    }
    return {f"{prefix}{name}": weights for name, weights in named.items()}


def _snapshot(parts: dict[str, Weights], prefix: str) -> Snapshot | None:
    named = {name.removeprefix(prefix): weights for name, weights in parts.items() if name.startswith(prefix)}
    if "parameters" not in named:
        return None
    optimizer = {name: weights for name, weights in named.items() if name not in ("parameters", "average")}
    return Snapshot(named["parameters"], parts["best"], optimizer, named.get("average"))


def _parts_of(prefix: str, arrays: Arrays) -> dict[str, Weights]:
    """Collect everything that was saved of a fold, by name."""
    names = {name.removeprefix(prefix).split(".")[0] for name in arrays if name.startswith(prefix)}
    return {name: _weights(f"{prefix}{name}.", arrays) for name in names}


def _arrays(prefix: str, weights: Weights) -> Arrays:
    return {f"{prefix}{i:02d}.{name}": values for i, layer in enumerate(weights) for name, values in layer.items()}


def _weights(prefix: str, arrays: Arrays) -> Weights:
    layers: dict[str, dict[str, np.ndarray]] = {}
    for name in sorted(n for n in arrays if n.startswith(prefix)):
        layer, _, part = name.removeprefix(prefix).partition(".")
        layers.setdefault(layer, {})[part] = arrays[name]
    return [layers[i] for i in sorted(layers)]


def is_worth_keeping(score: float | None, bar: float | None, direction: Direction) -> bool:
    """Tell whether a trial's score reaches the bar that the master set; without a bar any score does."""
    if score is None or not math.isfinite(score):
        return False
    return bar is None or not direction.is_better(bar, than=score)
