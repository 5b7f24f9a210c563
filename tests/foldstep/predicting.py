"""Searches to predict with, and predictions as users make them."""

from __future__ import annotations

import csv
import io
import random
import subprocess
from pathlib import Path
from typing import Any

from tests.acceptance.processes import foldstep
from tests.foldstep.conftest import Desk

FEW = {"lr": [0.01, 0.02], "width": 8, "epochs": 4, "batch_size": 16}
NEW = ["code,city,size", "A1,Ulm,0.4", "12,,-0.3", "B2,Bonn,0.1", "12,Ulm,1.5"]


def trained(desk: Desk, name: str, content: str | None, parameters: dict[str, Any] = FEW, **data: Any) -> list[Path]:
    """The checkpoints of all folds of the best trial of a search over this table; None for one that is there."""
    if content is not None:
        desk.write(f"{name}.csv", content)
    spec = {
        "name": name, "data": {"dataset": f"{name}.csv", "target": "y", **data}, "cv": {"folds": 3}, "seed": 1,
        "method": "random", "parameters": parameters, "budget": {"trials": 2},
    }  # fmt: skip
    search = desk.master.wait(desk.master.submit(spec).id)
    assert search.state == "completed"
    assert search.best is not None
    return [Path(search.checkpoint_dir) / file for file in search.best.checkpoints]


def codes_table() -> str:
    """Codes of which some are digits, a city that is often missing, a number."""
    rng = random.Random(4)
    rows = ["code,city,size,y"]
    for _ in range(120):
        code, size = rng.choice(["12", "34", "A1", "B2"]), rng.gauss(0, 1)
        y = int(size + (code == "12") + rng.gauss(0, 0.3) > 0.5)
        rows.append(f"{code},{rng.choice(['', 'Bonn', 'Ulm'])},{size:.3f},{y}")
    return "\n".join(rows) + "\n"


def amounts_table() -> str:
    """The same columns, with an amount to predict and a weight of each row."""
    rng = random.Random(5)
    rows = [f"{rng.choice(['12', 'A1'])},{rng.choice(['', 'Bonn'])},{rng.gauss(0, 1):.3f}" for _ in range(120)]
    return "code,city,size,y,w\n" + "\n".join(
        f"{row},{rng.gammavariate(2, 1):.3f},{rng.uniform(1, 3):.2f}" for row in rows
    )


def predict(
    models: list[Path] | str, content: str, folder: Path, *options: str
) -> tuple[list[list[str]], subprocess.CompletedProcess[str]]:
    """What `predict` prints for a file with this content, as header and rows; and the command."""
    (folder / "new.csv").write_text(content)
    words = [models] if isinstance(models, str) else list(map(str, models))
    done = foldstep("predict", *words, "new.csv", *options, cwd=folder)
    assert done.returncode == 0, done.stderr
    return list(csv.reader(io.StringIO(done.stdout))), done


def lines(*numbers: int) -> str:
    return "\n".join(NEW[i] for i in (0, *numbers)) + "\n"
