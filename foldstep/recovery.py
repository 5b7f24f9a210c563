"""Rebuild searches and their leaderboards from a folder of checkpoints."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foldstep.models.catalog.metrics import METRICS, Direction
from foldstep.models.checkpoint import CheckpointDamaged, decode, reading_facts
from foldstep.service.contract.checkpoint_name import CheckpointName
from foldstep.service.contract.errors import Conflict
from foldstep.service.contract.problem import LearningProblem
from foldstep.service.contract.report import TrialResult

if TYPE_CHECKING:
    from foldstep.service.flow.rebuild import Remains
    from foldstep.service.settings import Settings

Row = dict[str, Any]
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
_LATER_FIELDS = {"baseline": None, "reading": None, "n_rows": None, "n_inputs": None, "n_outputs": None}
"""Fields of a problem that checkpoints of earlier versions do not have."""


@dataclass
class Found:
    """What a folder of checkpoints holds.

    Attributes:
        facts: those of one whole file of each trial, by search and number.
        files: of each trial, by search and number.
        damaged: files that are not whole.
    """

    facts: dict[str, dict[int, dict[str, Any]]] = field(default_factory=dict)
    files: dict[str, dict[int, list[Path]]] = field(default_factory=dict)
    damaged: list[str] = field(default_factory=list)


def find_checkpoints(folder: Path) -> Found:
    """Read every checkpoint in a folder and its subfolders."""
    found = Found()
    metrics: dict[str, str] = {}
    for path in sorted(folder.rglob("*.safetensors")):
        try:
            facts = _read(path)
            if facts is None:
                continue
            search, metric = facts["context"]["search"], facts["context"]["metric"]["name"]
            if metrics.setdefault(search, metric) != metric:
                raise CheckpointDamaged("its search has another metric in other files")
        except (CheckpointDamaged, OSError):
            found.damaged.append(str(path))
            continue
        found.facts.setdefault(search, {}).setdefault(facts["trial"], facts)
        found.files.setdefault(search, {}).setdefault(facts["trial"], []).append(path)
    return found


def _read(path: Path) -> dict[str, Any] | None:
    """Read the facts of one file; None for a snapshot.

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
        _row(facts)
    return facts


def recover_leaderboards(folder: Path) -> tuple[dict[str, list[Row]], list[str]]:
    """Rebuild the ranking of every search that has checkpoints in a folder or its subfolders.

    Returns:
        The rows of each search, the best first; and the paths of damaged files.
    """
    found = find_checkpoints(folder)
    return {search: leaderboard(found, search) for search in found.facts}, found.damaged


def leaderboard(found: Found, search: str) -> list[Row]:
    """Rank the trials of a search, the best first."""
    trials = found.facts[search]
    rows = [{**_row(facts), "checkpoints": list(map(str, found.files[search][n]))} for n, facts in trials.items()]
    metric = next(iter(trials.values()))["context"]["metric"]["name"]
    return _ranked(rows, METRICS[metric].direction)


def rebuild_searches(found: Found, settings: Settings) -> list[str]:
    """Make a new installation in which every search that was found is stored with its leaderboard.

    Returns:
        The searches whose checkpoints do not say enough of their problem.

    Raises:
        Conflict: the folder, or the database, has searches already.
    """
    from foldstep.service.db import searches
    from foldstep.service.db.engine import Database
    from foldstep.service.db.lock import exclusive
    from foldstep.service.db.migrate import upgrade
    from foldstep.service.flow.context import Context
    from foldstep.service.flow.rebuild import rebuild
    from foldstep.service.folder import usable_folder

    usable_folder(settings.data_dir)
    left_out = []
    with exclusive(settings.data_dir), closing(Database(settings.resolved_database_url)) as database:
        upgrade(database)
        with database.read() as connection:
            if searches.all_ids(connection):
                raise Conflict(f"{settings.data_dir} has searches already; name a new folder with --into.")
        for search in found.facts:
            remains = _remains(found, search)
            if remains is None:
                left_out.append(search)
            else:
                rebuild(Context(database, settings), remains)
    return left_out


def _remains(found: Found, search: str) -> Remains | None:
    from foldstep.service.flow.rebuild import Remains

    trials = found.facts[search]
    told = next(iter(trials.values()))["context"]
    if not _ID.fullmatch(search):  # it becomes the name of a folder
        return None
    try:
        problem = LearningProblem.model_validate({**_LATER_FIELDS, **{k: v for k, v in told.items() if k != "search"}})
    except ValueError:
        return None
    remains = Remains(search, problem)
    for number, facts in trials.items():
        remains.trials[number] = facts["params"], TrialResult.model_validate(facts["result"])
        for path in found.files[search][number]:
            if CheckpointName.parse(path.name) is not None:
                remains.files[path.name] = path
    return remains


def _row(facts: dict[str, Any]) -> Row:
    result = TrialResult.model_validate(facts["result"])
    if type(facts["trial"]) is not int or facts["trial"] != result.trial:
        raise CheckpointDamaged("it is of one trial, its result of another")
    folds = [f.score for f in result.folds]
    known = [s for s in folds if s is not None]
    score = math.fsum(known) / len(known) if known and len(known) == len(folds) else None
    return {"trial": facts["trial"], "score": score, "params": facts["params"], "folds": folds}


def _ranked(rows: Iterable[Row], direction: Direction) -> list[Row]:
    ordered = sorted(rows, key=lambda r: (r["score"] is None, direction.loss_of(r["score"] or 0.0), r["trial"]))
    return [{"rank": i, **row} for i, row in enumerate(ordered, start=1)]
