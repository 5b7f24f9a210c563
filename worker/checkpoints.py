"""Checkpoints of folds, each sufficient to predict from, and snapshots to resume training from."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeAlias

from foldstep.models.catalog.metrics import Direction
from foldstep.models.checkpoint import Arrays, CheckpointDamaged, Facts, decode, encode, reading_facts
from foldstep.models.hyperparameters import Hyperparameters, resolve
from foldstep.models.weights import Weights, weights_of
from foldstep.service.contract.checkpoint_name import CheckpointName
from foldstep.service.contract.lease import Lease, LeasedTrial
from foldstep.service.contract.out_of_fold import FoldPredictions
from foldstep.service.contract.report import TrialResult
from foldstep.service.contract.space import Params
from foldstep.worker.predictor import CHECKPOINT
from foldstep.worker.train.member import Member, Snapshot
from foldstep.worker.train.stopping import Progress

if TYPE_CHECKING:
    from foldstep.worker.data.inputs import FoldData  # brings scikit-learn, which prediction does not need

_SNAPSHOT = "snapshot"
NO_PREDICTIONS: Mapping[str, FoldPredictions] = MappingProxyType({})
_Fold: TypeAlias = tuple[Progress, Snapshot | None, Weights | None]


def checkpoint(
    lease: Lease,
    trial: LeasedTrial,
    member: Member,
    weights: Weights,
    data: FoldData,
    result: TrialResult,
    predictions: Mapping[str, FoldPredictions] = NO_PREDICTIONS,
) -> tuple[str, bytes]:
    """Make a file of a fold's best network: its name and its content.

    The trial's whole result is in every fold's file, so that any of them restores the trial's leaderboard row.

    Args:
        lease: of the trial.
        trial: as it was leased.
        member: the fold's training.
        weights: its best ones.
        data: of the fold.
        result: of the trial.
        predictions: of the network, by the part of the rows, VALIDATION or TEST.
    """
    epoch, score = member.progress.best_epoch, result.folds[member.fold].score
    assert score is not None
    stage = data.stage(member.hp)
    name = CheckpointName(lease.problem.metric.name, score, member.trial, member.fold, epoch)
    facts = {
        "kind": CHECKPOINT,
        # the key and the names in it are those of the first version, so that every version reads every file
        "context": {"search": lease.search, **_problem(lease)},
        "trial": member.trial,
        "fold": member.fold,
        "epoch": epoch,
        "score": score,
        "params": trial.params,
        "seed": member.hp.seed,
        "result": result.model_dump(mode="json"),
        "n_inputs": data.n_inputs,
        "n_outputs": data.n_outputs,
        "preprocessing": data.preprocessor.to_json(),
        "input_stage": None if stage is None else stage.to_json(),
        "target": {**data.target.to_json(), "class_weights": _class_weights(member, data)},
    }
    kept = {name: array for part, said in predictions.items() for name, array in said.arrays(part).items()}
    return str(name), encode({**_arrays("", weights), **kept}, facts)


def _problem(lease: Lease) -> Facts:
    """Write the learning problem, without the outer folds: they are of searches that follow, and no fold has them."""
    facts = lease.problem.model_dump(mode="json")
    del facts["cv"]["outer"]
    return facts


def _class_weights(member: Member, data: FoldData) -> list[float] | None:
    """List the weights of the classes in the loss that the network was trained with; None where all weigh 1."""
    weights = data.target.class_weights(member.hp.class_weight, data.y_train)
    return None if weights is None else weights.tolist()


@dataclass(frozen=True)
class SavedTrial:
    """The saved state of a trial in training.

    Attributes:
        folds: for each fold begun, its history, the snapshot to resume from or None, and its best weights or None.
        legs: the epochs of the trials that it continues, see `LeasedTrial`.
    """

    params: Params
    fingerprint: str
    folds: dict[int, _Fold]
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
    with reading_facts():
        is_of_it = (facts.get("kind"), facts.get("fingerprint")) == (_SNAPSHOT, fingerprint)
        if not is_of_it or not _leads_to(facts, params, legs):
            raise CheckpointDamaged("the snapshot belongs to another trial or other data")
        return SavedTrial(params, fingerprint, dict(_folds(arrays, facts, resolve(params))), legs)


def _folds(arrays: Arrays, facts: Facts, hp: Hyperparameters) -> Iterator[tuple[int, _Fold]]:
    for fold, raw in facts["folds"].items():
        parts = _parts_of(f"fold{fold}.", arrays)
        for name, weights in parts.items():
            _check_layers(name, weights, hp)
        snapshot, good = _snapshot(parts, "now_"), _snapshot(parts, "good_")
        snapshot = None if snapshot is None else replace(snapshot, good=good)
        yield int(fold), (Progress.from_json(raw), snapshot, parts.get("best"))


def _check_layers(part: str, weights: Weights, hp: Hyperparameters) -> None:
    """Refuse weights, or what an optimizer keeps of them, that are not those of a network with these hidden layers."""
    widths = [len(layer["weight"]) for layer in weights if "weight" in layer]
    if widths and widths[:-1] != list(hp.hidden):
        raise CheckpointDamaged(
            f"its {part} is of a network with layers of {widths}, not of {[*hp.hidden]} and outputs"
        )


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
    return {name: weights_of(f"{prefix}{name}.", arrays) for name in names}


def _arrays(prefix: str, weights: Weights) -> Arrays:
    return {f"{prefix}{i:02d}.{name}": values for i, layer in enumerate(weights) for name, values in layer.items()}


def is_worth_keeping(score: float | None, bar: float | None, direction: Direction) -> bool:
    """Tell whether a trial's score reaches the bar that the master set; without a bar any score does."""
    if score is None or not math.isfinite(score):
        return False
    return bar is None or not direction.is_better(bar, than=score)
