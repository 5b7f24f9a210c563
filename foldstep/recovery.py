"""Rebuild leaderboards from a folder of checkpoints."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from foldstep.models.catalog.metrics import METRICS, Direction
from foldstep.models.checkpoint import CheckpointDamaged, decode, reading_facts
from foldstep.service.contract.report import TrialResult

Row = dict[str, Any]


def recover_leaderboards(folder: Path) -> tuple[dict[str, list[Row]], list[str]]:
    """Rebuild the ranking of every search that has checkpoints in a folder or its subfolders.

    Returns:
        The rows of each search, the best first; and the paths of damaged files.
    """
    trials: dict[str, dict[int, Row]] = {}
    metrics: dict[str, str] = {}
    damaged = []
    for path in sorted(folder.rglob("*.safetensors")):
        try:
            found = _read(path)
            if found is not None and metrics.setdefault(found.search, found.metric) != found.metric:
                raise CheckpointDamaged("its search has another metric in other files")
        except (CheckpointDamaged, OSError):
            damaged.append(str(path))
            continue
        if found is not None:
            row = trials.setdefault(found.search, {}).setdefault(found.row["trial"], found.row)
            row["checkpoints"].append(str(path))
    return {s: _ranked(rows.values(), METRICS[metrics[s]].direction) for s, rows in trials.items()}, damaged


class _Found(NamedTuple):
    """What one file tells."""

    search: str
    metric: str
    row: Row


def _read(path: Path) -> _Found | None:
    """Read one file; None for a snapshot.

    Raises:
        CheckpointDamaged: it is damaged, or does not say what a checkpoint says.
        OSError: it cannot be read.
    """
    if not path.is_file():  # a pipe of that name would be waited for
        raise CheckpointDamaged("no plain file")
    _, facts = decode(path.read_bytes())
    if facts.get("kind") != "checkpoint":
        return None
    with reading_facts():
        context = facts["context"]
        search, metric = context["search"], context["metric"]["name"]
        if not isinstance(search, str) or metric not in METRICS or not isinstance(facts["params"], dict):
            raise CheckpointDamaged("it names no search, metric or hyperparameters")
        return _Found(search, metric, _row(facts))


def _row(facts: dict[str, Any]) -> Row:
    result = TrialResult.model_validate(facts["result"])
    if type(facts["trial"]) is not int or facts["trial"] != result.trial:
        raise CheckpointDamaged("it is of one trial, its result of another")
    folds = [f.score for f in result.folds]
    known = [s for s in folds if s is not None]
    score = math.fsum(known) / len(known) if known and len(known) == len(folds) else None
    return {"trial": facts["trial"], "score": score, "params": facts["params"], "folds": folds, "checkpoints": []}


def _ranked(rows: Iterable[Row], direction: Direction) -> list[Row]:
    ordered = sorted(rows, key=lambda r: (r["score"] is None, direction.loss_of(r["score"] or 0.0), r["trial"]))
    return [{"rank": i, **row} for i, row in enumerate(ordered, start=1)]
