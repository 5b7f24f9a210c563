"""Leaderboards of small searches over all methods and optimizers, to compare two versions bit for bit.

    python -m benchmarks.leaderboards save before.json [--checkout DIR]
    python -m benchmarks.leaderboards compare before.json after.json

Three problems (classes, numbers, early stopping on many classes), each searched by every method. The spaces hold every
optimizer, activation, normalisation, initialisation and schedule, so any change of rounding changes a score.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from foldstep.service.contract.methods import METHODS
from foldstep.service.contract.processes import python_command

OPTIMIZERS = ["sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "adamw"]

_SPACE: dict[str, Any] = {
    "lr": {"low": 1e-4, "high": 1e-1, "log": True},
    "optimizer": [*OPTIMIZERS, "lbfgs"],
    "hidden": {"choices": [[24], [40, 24], [200, 16]]},
    "activation": ["relu", "leaky_relu", "elu", "gelu", "silu", "relu6", "tanh", "sigmoid"],
    "norm": ["none", "batch", "layer"],
    "init": ["uniform", "lecun_normal", "glorot_uniform", "he_normal", "orthogonal"],
    "schedule": [
        "constant", "step", "exponential", "inverse_time", "inverse_sqrt", "linear", "cosine", "cosine_restarts",
        "trapezoidal", "cyclical", "one_cycle", "plateau",
    ],
    "dropout": {"low": 0.0, "high": 0.4},
    "input_dropout": [0.0, 0.1],
    "weight_decay": {"low": 1e-6, "high": 1e-2, "log": True},
    "clip_norm": [0.0, 1.0],
    "ema_decay": [0.0, 0.9],
    "batch_size": {"choices": [32, 64], "when": {"optimizer": OPTIMIZERS}},
    "epochs": 6,
}  # fmt: skip
_GRID: dict[str, Any] = {
    "lr": [1e-3, 1e-2], "optimizer": _SPACE["optimizer"], "activation": ["relu", "tanh"], "hidden": [24], "epochs": 6,
}  # fmt: skip
PROBLEMS: dict[str, dict[str, Any]] = {
    "classes": {
        "data": {"dataset": "wine", "test": 0.2}, "cv": {"folds": 3, "repeats": 2}, "metric": {"name": "log_loss"},
        "parameters": {"label_smoothing": [0.0, 0.1], "class_weight": ["none", "balanced"]},
    },
    "numbers": {
        "data": {"dataset": "diabetes"}, "cv": {"folds": 3}, "metric": {"name": "rmse"},
        "parameters": {"loss": ["mse", "mae", "huber", "poisson"], "scaler": ["standard", "quantile", "whiten"]},
    },
    "early": {
        "data": {"dataset": "digits"}, "cv": {"folds": 3}, "metric": {"name": "accuracy"},
        "early_stop": {"rungs": "asha", "race_folds": True}, "parameters": {"patience": [0, 2]},
    },
}  # fmt: skip


def spec_of(problem: str, method: str) -> dict[str, Any]:
    """Make the spec of one search."""
    given = PROBLEMS[problem]
    enumerates = METHODS[method].enumerates
    space = _GRID if enumerates else {**_SPACE, **given["parameters"]}
    if problem == "numbers" and enumerates:
        space = {**space, "loss": ["mse", "huber"]}
    spec = {**given, "name": f"{problem}-{method}", "method": method, "seed": 3, "parameters": space}
    if METHODS[method].is_staged:
        return {**spec, "parameters": {k: v for k, v in space.items() if k != "epochs"},
                "stages": [{"epochs": 2, "trials": 24}, {"epochs": 6, "trials": 12}]}  # fmt: skip
    return {**spec, "budget": {"trials": 32}}


def run(spec: dict[str, Any], checkout: Path) -> list[dict[str, Any]]:
    """Run one search with the code of a checkout; return its whole leaderboard, without the checkpoints' paths."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "spec.json"
        path.write_text(json.dumps(spec))
        command = python_command("foldstep", "run", str(path), "--json", "--dir", f"{folder}/data")
        environment = {**os.environ, "PYTHONPATH": str(checkout)}
        done = subprocess.run(command, capture_output=True, text=True, cwd=checkout, env=environment, check=False)
    if not done.stdout.strip():
        raise SystemExit(f"{spec['name']}: {done.stderr}")
    rows: list[dict[str, Any]] = json.loads(done.stdout)
    return [{k: v for k, v in row.items() if k != "checkpoints"} for row in rows]


def save(target: Path, checkout: Path) -> None:
    """Write the leaderboards of all searches to one file."""
    found = {}
    for problem in PROBLEMS:
        for method in METHODS:
            found[f"{problem}-{method}"] = run(spec_of(problem, method), checkout)
            print(f"{problem}-{method}: {len(found[f'{problem}-{method}'])} trials", flush=True)
    target.write_text(json.dumps(found, indent=1))


def compare(before: Path, after: Path) -> int:
    """Print which searches differ between two files; return how many."""
    old, new = (json.loads(path.read_text()) for path in (before, after))
    differing = [name for name in sorted({*old, *new}) if old.get(name) != new.get(name)]
    print(f"{len(old)} searches, {sum(map(len, old.values()))} trials: {len(differing)} differ {differing or ''}")
    for name in differing:
        pairs = zip(old.get(name, []), new.get(name, []), strict=False)
        first = next(((a, b) for a, b in pairs if a != b), None)
        print(f"  {name}: {first}")
    return len(differing)


def main() -> None:
    """Run the command line: save leaderboards, or compare two files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    saving, comparing = commands.add_parser("save"), commands.add_parser("compare")
    saving.add_argument("target", type=Path)
    saving.add_argument("--checkout", type=Path, default=Path.cwd())
    comparing.add_argument("before", type=Path)
    comparing.add_argument("after", type=Path)
    given = parser.parse_args()
    if given.command == "save":
        save(given.target, given.checkout.absolute())
    else:
        raise SystemExit(min(compare(given.before, given.after), 1))


if __name__ == "__main__":
    main()
