"""How our processes start: from one place, without the working directory; and every module in them has one name."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

import foldstep
from foldstep import cli
from foldstep.service.contract.processes import python_command

ROOT = Path(__file__).parents[2]
FOLDERS = ("foldstep", "models", "service", "worker", "migrations")  # each walked once: rglob follows no links
SOURCES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
STARTER = ROOT / "service" / "contract" / "processes.py"


def tree(path: Path) -> list[ast.AST]:
    return list(ast.walk(ast.parse(path.read_text())))


def names_the_interpreter(node: ast.AST) -> bool:
    return (isinstance(node, ast.Attribute) and node.attr == "executable") or (
        isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in ("python", "python3")
    )


def test_one_place_starts_python() -> None:
    """Whoever starts a process of ours asks it: nobody else names the interpreter, or starts it by other means."""
    assert len(SOURCES) > 200
    assert [path for path in SOURCES if any(map(names_the_interpreter, tree(path)))] == [STARTER]
    for path in SOURCES:
        for node in tree(path):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [alias.name for alias in node.names] + [getattr(node, "module", None) or ""]
                assert not {"multiprocessing", "concurrent.futures.process", "ProcessPoolExecutor"} & set(names), path


def test_pages_and_benchmarks_start_foldstep_the_same_way() -> None:
    for path in [*(ROOT / "docs").glob("*.py"), *(ROOT / "benchmarks").glob("*.py")]:
        assert '"-m", "foldstep"' not in path.read_text(), path


def test_it_starts_python_without_the_working_directory(tmp_path: Path) -> None:
    assert python_command("m", "a", "b") == [sys.executable, "-P", "-m", "m", "a", "b"]
    (tmp_path / "shadow.py").write_text("")
    done = subprocess.run(python_command("shadow"), cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "No module named shadow" in done.stderr


# -- names ------------------------------------------------------------------------------------------------------------

COMMANDS = sorted({f"foldstep.commands.{module}" for module, _ in cli.COMMANDS.values()})
ENTRIES = [
    *COMMANDS,
    "foldstep.answering.__main__",
    "foldstep.service.app",
    "foldstep.service.analysis.__main__",
    "foldstep.service.data.__main__",
    "foldstep.service.planner.__main__",
    "foldstep.worker.process",
]
REPORT = """
import collections, importlib, json, os, sys
for entry in {entries}:
    importlib.import_module(entry)
files = collections.defaultdict(list)
for name, module in list(sys.modules.items()):
    if os.path.isfile(getattr(module, "__file__", None) or "") and name != "__main__":
        files[os.path.realpath(module.__file__)].append(name)
print(json.dumps(files))
"""


def imported(*entries: str, cwd: Path) -> dict[str, list[str]]:
    """The names under which each file is known to a process that starts as ours do and imports these modules."""
    argv = [*python_command("x")[:2], "-c", REPORT.format(entries=entries)]
    done = subprocess.run(argv, cwd=cwd, capture_output=True, text=True, check=True)
    found: dict[str, list[str]] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("entry", ENTRIES)
def test_every_module_of_a_process_has_one_name(entry: str) -> None:
    """Even in the repository's root, where the folders lie beside the package that links to them."""
    found = imported(entry, cwd=ROOT)
    ours = {file: names for file, names in found.items() if any(Path(file).is_relative_to(ROOT / f) for f in FOLDERS)}
    assert len(ours) > 10
    assert {file: names for file, names in ours.items() if len(names) > 1} == {}
    assert all(name.split(".")[0] == "foldstep" for names in ours.values() for name in names)
    assert not set(FOLDERS[1:]) & {name.split(".")[0] for names in found.values() for name in names}


@pytest.mark.parametrize("folder", FOLDERS[1:])
def test_a_folder_refuses_a_second_name(folder: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", f"import {folder}"], cwd=ROOT, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 1
    assert f"this folder is the package foldstep.{folder}: import it by that name" in done.stderr


# -- what an import costs ---------------------------------------------------------------------------------------------


def loaded(code: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"{code}; import sys; print(*sys.modules)"], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


def test_the_package_imports_nothing_before_it_is_asked_for() -> None:
    assert not {"pydantic", "httpx", "numpy", "foldstep.client"} & loaded("import foldstep")
    assert "foldstep.client" in loaded("from foldstep import Foldstep")


def test_the_command_line_imports_nothing_heavy() -> None:
    heavy = {"torch", "pandas", "sklearn", "scipy", "optuna", "pyarrow", "sqlalchemy", "fastapi"}
    assert not heavy & loaded("; ".join(f"import {name}" for name in COMMANDS))


def test_help_imports_no_command() -> None:
    """Nor what they import; so it comes in under 0.3 s, of which `typer` and `rich` take most."""
    help_ = "import foldstep.cli as c; c.app(['--help'], standalone_mode=False)"
    assert not {*COMMANDS, "pydantic", "httpx", "numpy", "foldstep.options", "foldstep.client"} & loaded(help_)


def test_help_says_what_the_commands_say_of_themselves() -> None:
    root: Any = get_command(cli.app)
    assert list(root.commands) == list(cli.COMMANDS)
    for name, (_, said) in cli.COMMANDS.items():
        assert root.commands[name].help.split("\n\n")[0].replace("\n", " ") == said, name
        assert root.commands[name].name == name


def test_public_names() -> None:
    from foldstep.client import Foldstep

    assert foldstep.Foldstep is Foldstep
    estimators, models = ["FoldstepClassifier", "FoldstepRegressor"], ["Model", "PredictionWarning", "load"]
    searches = ["SearchResult", "download_model", "search", "warm_start_from"]
    assert sorted(foldstep.__all__) == sorted(["Foldstep", *estimators, *models, *searches, "__version__"])
    assert all(getattr(foldstep, name) is not None for name in foldstep.__all__)
    assert not hasattr(foldstep, "Client")
