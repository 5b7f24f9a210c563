"""Checkpoints of folds, each sufficient to predict from, and snapshots to resume training from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from foldstep.models.catalog.metrics import Direction
from foldstep.models.checkpoint import Arrays, CheckpointDamaged, Facts, decode, encode
from foldstep.models.fnn import FNN
from foldstep.models.hyperparameters import Hyperparameters, resolve
from foldstep.models.stack import Weights
from foldstep.service.contract.checkpoint_name import CheckpointName
from foldstep.service.contract.columns import Label, NumberColumn
from foldstep.service.contract.lease import Lease, LeasedTrial
from foldstep.service.contract.reading import AS_FOUND, ColumnReading, Kind, TableReading
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
_ROWS_AT_ONCE = 1 << 16
"""Rows that are predicted at once, which bounds the memory of their inputs."""


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
        "target": {**data.target.to_json(), "class_weights": _class_weights(member, data)},
    }
    return str(name), encode(_arrays("", weights), facts)


def _class_weights(member: Member, data: FoldData) -> list[float] | None:
    """List the weights of the classes in the loss that the network was trained with; None where all weigh 1."""
    weights = data.target.class_weights(member.hp.class_weight, data.y_train)
    return None if weights is None else weights.tolist()


@dataclass(frozen=True)
class Predictor:
    """A network from a checkpoint, with everything that it takes to predict from a table.

    Attributes:
        facts: what the file says about itself.
        weighs: whether the classes had weights in training.
        class_weights: these weights, (classes,); None where there were none, or where an earlier version trained it
            with weights that it did not save.
    """

    net: FNN
    preprocessor: Preprocessor
    target: TargetCoder
    facts: dict[str, Any]
    weighs: bool = False
    class_weights: npt.NDArray[np.float64] | None = None

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
        target = TargetCoder.from_json(facts["target"])
        weighs = target.classes is not None and hp.class_weight != "none"
        return cls(net, preprocessor, target, facts, weighs, _saved_weights(facts, target, hp))

    def outputs(self, table: Table) -> npt.NDArray[np.float64]:
        """Predict class probabilities (rows, classes), or values in the target's units (rows,).

        The probabilities are those of the classes as training weighted them; see `class_weights`. A value is NaN where
        the row's exposure is missing or below 0.
        """
        n_outputs = () if self.target.classes is None else (len(self.target.classes),)
        outputs = np.empty((table.n_rows, *n_outputs))
        for start in range(0, table.n_rows, _ROWS_AT_ONCE):
            rows = np.arange(start, min(start + _ROWS_AT_ONCE, table.n_rows))
            outputs[rows] = self._outputs(table, rows)
        return outputs

    def _outputs(self, table: Table, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        x = self.preprocessor.transform(table, rows)
        with torch.no_grad():
            raw = self.net(torch.from_numpy(x)).double()
        if self.target.classes is None:
            return self.target.values(raw[:, 0].numpy(), self._exposure(table, rows))
        return np.asarray(torch.softmax(raw, dim=1).numpy())

    @cached_property
    def reading(self) -> TableReading:
        """How the columns of its training data were read."""
        saved = self.facts["context"].get("reading")
        return self._derived_reading() if saved is None else TableReading.model_validate(saved)

    def _derived_reading(self) -> TableReading:
        """Derive the reading of an earlier version, which saved none, from what its columns became."""
        numbers = [*(coding.name for coding in self.preprocessor.numbers), *self._exposure_names]
        kinds: dict[str, Kind] = dict.fromkeys(numbers, "number")
        kinds |= dict.fromkeys((coding.name for coding in self.preprocessor.categories), "category")
        columns = [ColumnReading(name=name, kind=kind) for name, kind in kinds.items()]
        return TableReading(missing=AS_FOUND.missing_words, columns=tuple(columns))

    @property
    def classes(self) -> tuple[Label, ...] | None:
        """The classes as the training data's file writes them; None for regression."""
        found = self.target.classes
        words = next((c.labels for c in self.reading.columns if c.name == self.target_name), None)
        if found is None or words is None or not set(found) <= {0, 1}:
            return found
        return tuple(words[int(label)] for label in found)

    @property
    def target_name(self) -> str:
        """The column that it predicts."""
        return str(self.facts["context"]["data"]["target"])

    @property
    def columns(self) -> list[str]:
        """The columns that a table must have."""
        fitted = self.preprocessor
        features = [c.name for c in fitted.numbers] + [c.name for c in fitted.categories]
        return list(dict.fromkeys([*features, *self._exposure_names]))

    @property
    def _exposure_names(self) -> list[str]:
        name = self.facts["context"]["data"].get("exposure")
        return [] if name is None else [str(name)]

    def _exposure(self, table: Table, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float64] | None:
        for name in self._exposure_names:
            column = table.columns[name]
            assert isinstance(column, NumberColumn)  # its reading says so
            values = column.values[rows]
            return np.where(values >= 0, values, np.nan)
        return None


def _saved_weights(facts: Facts, target: TargetCoder, hp: Hyperparameters) -> npt.NDArray[np.float64] | None:
    """Read the weights of the classes; an earlier version did not save them, but a mapping tells them."""
    saved = facts["target"].get("class_weights")
    if saved is not None:
        return np.array(saved, dtype=np.float64)
    if hp.class_weight == "balanced":
        return None
    return target.class_weights(hp.class_weight, np.empty(0, np.int64))


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
