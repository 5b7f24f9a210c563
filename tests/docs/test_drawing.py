"""The drawings of the imports are those of the code, and an arrow that goes upwards is found."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import grimp
import pytest

from docs.drawing import ARCHITECTURE, PAGE, ROOT, architecture, by_contract, by_imports, page, upward


@pytest.fixture
def graph() -> grimp.ImportGraph:
    return grimp.build_graph("foldstep", cache_dir=None)


def faults(graph: grimp.ImportGraph) -> list[str]:
    held = by_contract(graph, ROOT / "pyproject.toml")
    return upward(graph, held + by_imports(graph, held))


def test_drawings_are_current(graph: grimp.ImportGraph) -> None:
    held = by_contract(graph, ROOT / "pyproject.toml")
    assert PAGE.read_text() == page(graph, held, by_imports(graph, held)), "run `python -m docs.drawing`"
    text = ARCHITECTURE.read_text()
    assert text == architecture(text, graph, held), "run `python -m docs.drawing`"


def test_no_arrow_goes_upwards(graph: grimp.ImportGraph) -> None:
    assert faults(graph) == []


def test_layers_of_models_service_and_worker_are_held_by_contracts(graph: grimp.ImportGraph) -> None:
    held = [drawing.package for drawing in by_contract(graph, ROOT / "pyproject.toml")]
    assert held[0] == "foldstep"
    assert {"foldstep.models", "foldstep.service", "foldstep.worker"} <= set(held)


@pytest.mark.parametrize(
    ("importer", "imported"),
    [
        ("models.layout", "worker.agent"),  # between packages
        ("service.contract.spec", "service.flow.submit"),  # between layers of one package
        ("models.compiled.members", "models.eager.packed"),  # between neighbours that are apart
        ("service.db.types", "service.db.trials"),  # in a circle, in a package without a contract
    ],
)
def test_arrow_upwards_is_found_and_named(graph: grimp.ImportGraph, importer: str, imported: str) -> None:
    graph.add_import(importer=f"foldstep.{importer}", imported=f"foldstep.{imported}")
    assert any(f"foldstep.{importer} imports foldstep.{imported}" in sentence for sentence in faults(graph))


def test_module_in_no_layer_is_found(graph: grimp.ImportGraph) -> None:
    graph.add_module("foldstep.worker.stowaway")
    assert faults(graph) == ["foldstep.worker.stowaway stands in no layer"]


def test_command_ends_with_1_and_names_the_arrow(tmp_path: Path) -> None:
    for name in ("foldstep", "models", "service", "worker", "migrations", "docs"):
        shutil.copytree(ROOT / name, tmp_path / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "ARCHITECTURE.md"):
        shutil.copy(ROOT / name, tmp_path)
    assert draw(tmp_path).returncode == 0
    with (tmp_path / "models" / "noise.py").open("a") as module:
        module.write("\nfrom foldstep.service import app\n")
    done = draw(tmp_path)
    assert done.returncode == 1
    assert "foldstep.models.noise imports foldstep.service.app" in done.stderr
    assert "foldstep.models.noise imports foldstep.service.app" in (tmp_path / "docs" / "imports.md").read_text()


def draw(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "docs.drawing"], cwd=folder, env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
