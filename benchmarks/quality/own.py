"""Foldstep's sides: `foldstep run` on the training part, `foldstep predict` on the test rows.

With a space that is given the best trial predicts alone; with nothing given the ensemble does, as for a user.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.quality.cases import Case, Split
from foldstep.service.contract.document import load_document
from foldstep.service.contract.processes import python_command

SPACES = Path(__file__).with_name("spaces")
PREFIX = "foldstep-"
DEFAULT = PREFIX + "default"
"""The side whose spec has no parameters and no validation, as a user's who has nothing but a table."""
STARTUP_S = 6.0
"""Seconds of a search's wall time that its time budget does not count: start-up and the report at the end."""
WORKERS = 2


def sides() -> list[str]:
    """Name Foldstep's sides: the search without parameters, and one for each file in `spaces/`."""
    return [DEFAULT, *(PREFIX + path.stem for path in sorted(SPACES.glob("*.yaml")))]


def space_of(side: str, n_train: int) -> dict[str, Any]:
    """Read the keys of a spec that a space file gives for a number of training rows; none where all are left out."""
    if side == DEFAULT:
        return {}
    path = SPACES / f"{side.removeprefix(PREFIX)}.yaml"
    return by_size(load_document(path.read_text()).value, n_train)


def by_size(space: Mapping[str, Any], n_train: int) -> dict[str, Any]:
    """Add to the parameters those that `by_rows` gives for a number of training rows."""
    sizes: list[dict[str, Any]] = space.get("by_rows", [])
    added: dict[str, Any] = next((s["parameters"] for s in sizes if n_train <= s.get("up_to", n_train)), {})
    kept = {key: value for key, value in space.items() if key != "by_rows"}
    return {**kept, "parameters": {**space["parameters"], **added}}


def spec_of(case: Case, given: Mapping[str, Any], *, dataset: str = "train.csv") -> dict[str, Any]:
    """Make the spec of a search for the winner of one split."""
    return {
        "name": "quality",
        "seed": case.split,
        "data": {"dataset": dataset, "target": case.file.target, "task": case.file.task},
        "metric": case.file.metric,
        "checkpoints": {"keep": 1},
        **given,
    }


def run(side: str, case: Case, parts: Split, folder: Path, seconds: float) -> dict[str, Any]:
    """Search for `seconds` of wall time; return predictions, and facts of the search.

    With nothing given the predictions are the ensemble's, and `alone` has those of the best trial.
    """
    budget = {"budget": {"time": max(seconds - STARTUP_S, 1.0)}}
    if side == DEFAULT:
        spec = {key: value for key, value in spec_of(case, budget).items() if key not in ("metric", "checkpoints")}
        found = search_and_predict(spec, parts, folder)
        return {**found, "alone": found["predicted"], "predicted": predict(folder, spec["name"])}
    given = budget | {"metric": case.file.search_metric}
    return search_and_predict(spec_of(case, space_of(side, case.n_train) | given), parts, folder)


def search_and_predict(spec: dict[str, Any], parts: Split, folder: Path) -> dict[str, Any]:
    """Run a search and predict the test rows with its winner."""
    parts.write(folder)
    (folder / "spec.json").write_text(json.dumps(spec))
    begun = time.monotonic()
    told = foldstep(folder, "run", "spec.json", "--dir", "data", "--workers", str(WORKERS), "--json")
    seconds = time.monotonic() - begun
    board = json.loads(told)
    predicted = predict(folder, spec["name"], "--trial", str(board[0]["trial"]))
    facts = {"trials": len(board), "validation": board[0]["score"], "winner": board[0]["params"]}
    return {"predicted": predicted, "time": seconds, **facts}


def predict(folder: Path, search: str, *options: str) -> list[str]:
    """Predict the test rows with a search's ensemble, or as the options of `foldstep predict` say."""
    return foldstep(folder, "predict", search, "test.csv", "--dir", "data", *options).splitlines()[1:]


def foldstep(folder: Path, *arguments: str) -> str:
    """Run a command in a folder, and return what it printed.

    Raises:
        SystemExit: it failed.
    """
    done = subprocess.run(
        python_command("foldstep", *arguments), cwd=folder, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise SystemExit(f"foldstep {arguments[0]} ended with {done.returncode}: {done.stderr.strip()[-2000:]}")
    return done.stdout
