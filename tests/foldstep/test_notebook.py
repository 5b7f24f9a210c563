"""The notebook of the examples: whole, without outputs, and its cells run one after the other."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import foldstep

NOTEBOOK = Path(__file__).parents[2] / "examples" / "first_steps.ipynb"
RUN = """
import json, sys
names = {"__name__": "__main__"}
for number, cell in enumerate(json.load(open(sys.argv[1]))["cells"]):
    if cell["cell_type"] == "code":
        exec(compile("".join(cell["source"]), f"cell {number}", "exec"), names)
print("accuracy", names["accuracy"])
"""


def cells(kind: str) -> list[dict[str, Any]]:
    return [cell for cell in json.loads(NOTEBOOK.read_text())["cells"] if cell["cell_type"] == kind]


def test_it_is_a_notebook_without_outputs() -> None:
    whole = json.loads(NOTEBOOK.read_text())
    assert (whole["nbformat"], sorted(whole)) == (4, ["cells", "metadata", "nbformat", "nbformat_minor"])
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells("code"))
    assert len({cell["id"] for cell in whole["cells"]}) == len(whole["cells"])
    assert len(cells("code")) > 8


def test_its_cells_run_from_the_first_to_the_last(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(NOTEBOOK)], cwd=tmp_path, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    accuracy = float(done.stdout.splitlines()[-1].removeprefix("accuracy "))
    assert accuracy > 0.9
    assert "lr: 0." in done.stdout
    assert "together: 0." in done.stdout
    card = foldstep.load(tmp_path / "tumours.foldstep").card
    assert card["trials_searched"] == 24
