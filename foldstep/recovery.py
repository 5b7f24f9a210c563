"""Rebuild leaderboards from a folder of checkpoints."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from foldstep.models.catalog.metrics import METRICS, Direction
from foldstep.models.checkpoint import CheckpointDamaged, decode
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
            _, facts = decode(path.read_bytes())
        except (CheckpointDamaged, OSError):
            damaged.append(str(path))
            continue
        if facts.get("kind") == "checkpoint":
            search = facts["context"]["search"]
            metrics[search] = facts["context"]["metric"]["name"]
            row = trials.setdefault(search, {}).setdefault(facts["trial"], _row(facts))
            row["checkpoints"].append(str(path))
    return {s: _ranked(rows.values(), METRICS[metrics[s]].direction) for s, rows in trials.items()}, damaged


def _row(facts: dict[str, Any]) -> Row:
    folds = [f.score for f in TrialResult.model_validate(facts["result"]).folds]
    known = [s for s in folds if s is not None]
    score = math.fsum(known) / len(known) if len(known) == len(folds) else None
    return {"trial": facts["trial"], "score": score, "params": facts["params"], "folds": folds, "checkpoints": []}


def _ranked(rows: Iterable[Row], direction: Direction) -> list[Row]:
    ordered = sorted(rows, key=lambda r: (r["score"] is None, direction.loss_of(r["score"] or 0.0), r["trial"]))
    return [{"rank": i, **row} for i, row in enumerate(ordered, start=1)]
