"""Installed into a fresh environment, Foldstep is one package, and runs where the user's files have our folders' names.

The environments take the dependencies from the present one, by a line in a `.pth` file. `.pth` files that lie there are
not read then, so the foldstep that is installed here is not in them.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.acceptance.compose import ROOT
from tests.acceptance.processes import WAIT_S

VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
FOLDERS = ("models", "service", "worker", "migrations")
SHADOW = "import os\nos.write(1, b'SHADOW')\nos.write(2, b'SHADOW')\nos._exit(9)\n"
SHADOWS = {
    "modules": ("models.py", "worker.py", "service/__init__.py", "migrations/__init__.py"),
    "packages": ("models/__init__.py", "worker/__init__.py", "service.py", "migrations.py"),
}
SPEC = {
    "name": "names", "method": "random", "seed": 1, "data": {"dataset": "wine"}, "cv": {"folds": 2},
    "parameters": {"lr": {"low": 1e-3, "high": 1e-1, "log": True}, "width": 8, "epochs": 1}, "budget": {"trials": 2},
}  # fmt: skip


def run(*argv: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= {"COLUMNS": "120", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    return subprocess.run(
        argv, cwd=cwd, env=environment, capture_output=True, text=True, timeout=WAIT_S,
        check=False,
    )  # fmt: skip


def done(*argv: str | Path, cwd: Path) -> str:
    """What a command that must succeed printed."""
    ended = run(*argv, cwd=cwd)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What an image is built from, as .dockerignore lets it in; the build leaves its traces there, not here."""
    copy = tmp_path_factory.mktemp("source")
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        path = ROOT / line.removeprefix("!")
        if line.startswith("!") and path.is_dir():
            shutil.copytree(path, copy / path.name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        elif line.startswith("!"):
            shutil.copy(path, copy)
    return copy


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    options = ("--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", folder)
    done(sys.executable, "-m", "pip", "wheel", *options, source, cwd=folder)
    (built,) = folder.glob("*.whl")
    return built


@dataclass(frozen=True)
class Environment:
    """A fresh environment with Foldstep and the present one's dependencies."""

    bin: Path

    @property
    def module(self) -> tuple[str | Path, ...]:
        return (self.bin / "python", "-m", "foldstep")

    def can_import(self, name: str, cwd: Path) -> bool:
        return run(self.bin / "python", "-c", f"import {name}", cwd=cwd).returncode == 0


Make = Callable[..., Environment]


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Make:
    def with_installed(*what: str | Path) -> Environment:
        folder = tmp_path_factory.mktemp("environment")
        done(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder)
        made = Environment(folder / "bin")
        (packages,) = folder.glob("lib/python*/site-packages")
        (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
        assert made.can_import("pydantic", folder)
        assert not made.can_import("foldstep", folder), "nothing of the present installation is in it"
        pip = (sys.executable, "-m", "pip", "--python", made.bin / "python", "install")
        options = ("--quiet", "--ignore-installed", "--no-deps", "--no-index", "--no-build-isolation")
        done(*pip, *options, *what, cwd=folder)
        return made

    return with_installed


@pytest.fixture(scope="module")
def from_wheel(make: Make, wheel: Path) -> Environment:
    return make(wheel)


@pytest.fixture(scope="module")
def editable(make: Make, source: Path) -> Environment:
    return make("--editable", source)


@pytest.fixture(params=["from_wheel", "editable"])
def environment(request: pytest.FixtureRequest) -> Environment:
    found: Environment = request.getfixturevalue(request.param)
    return found


def users_folder(folder: Path, *names: str) -> Path:
    """A spec, and files that say so if anybody imports them."""
    for name in names:
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(SHADOW)
    (folder / "spec.json").write_text(json.dumps(SPEC))
    return folder


@pytest.fixture(params=list(SHADOWS))
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return users_folder(tmp_path, *SHADOWS[request.param])


def test_the_wheel_holds_foldstep_alone_with_its_data_files(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as file:
        names = set(file.namelist())
    assert {name.split("/")[0] for name in names} == {"foldstep", f"{'-'.join(wheel.name.split('-')[:2])}.dist-info"}
    data = ["foldstep/py.typed", "migrations/script.py.mako"]
    data += [str(path.relative_to(ROOT)) for path in (ROOT / "models/compiled/source").iterdir()]
    data += [str(path.relative_to(ROOT)) for path in (ROOT / "service/dashboard/static").iterdir()]
    data += [str(path.relative_to(ROOT)) for path in (ROOT / "migrations/versions").glob("*.py")]
    assert len(data) > 20
    assert {f"foldstep/{name.removeprefix('foldstep/')}" for name in data} <= names
    code = [path.relative_to(ROOT) for name in ("foldstep", *FOLDERS) for path in (ROOT / name).rglob("*.py")]
    assert {f"foldstep/{str(path).removeprefix('foldstep/')}" for path in code} == {
        n for n in names if n.endswith(".py")
    }


def test_nothing_else_is_installed(environment: Environment, tmp_path: Path) -> None:
    assert environment.can_import("foldstep.models, foldstep.service, foldstep.worker, foldstep.migrations", tmp_path)
    assert [name for name in FOLDERS if environment.can_import(name, tmp_path)] == []


def test_a_users_own_files_keep_their_names(environment: Environment, folder: Path) -> None:
    for name in FOLDERS:
        assert run(environment.bin / "python", "-c", f"import foldstep, {name}", cwd=folder).stdout == "SHADOW"


def test_version_and_client(environment: Environment, folder: Path) -> None:
    for command in ((environment.bin / "foldstep",), environment.module):
        assert done(*command, "--version", cwd=folder) == f"foldstep {VERSION}\n"
    code = "from foldstep import Foldstep, __version__; print(Foldstep.__module__, __version__)"
    assert done(environment.bin / "python", "-c", code, cwd=folder) == f"foldstep.client {VERSION}\n"


@pytest.mark.parametrize("command", ["module", "script"])
def test_a_search_runs_among_them(environment: Environment, folder: Path, command: str) -> None:
    assert_runs(environment.module if command == "module" else (environment.bin / "foldstep",), folder)


def test_no_process_takes_a_library_from_the_users_folder(from_wheel: Environment, tmp_path: Path) -> None:
    folder = users_folder(tmp_path, "uvicorn.py", "pyarrow.py", "torch.py", "numpy.py", "json.py")
    assert_runs((from_wheel.bin / "foldstep",), folder)


def assert_runs(command: Sequence[str | Path], folder: Path) -> None:
    ended = run(*command, "run", "spec.json", "--workers", "1", cwd=folder)
    said = ended.stdout + ended.stderr + (folder / "foldstep-data" / "master.log").read_text()
    assert ended.returncode == 0, said
    assert "SHADOW" not in said
    assert "completed, 2 trials." in ended.stdout
