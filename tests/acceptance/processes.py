"""Real processes for tests: a master on a free port, workers, commands; all are ended when a test ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

from foldstep.client import Foldstep
from foldstep.models.compiled.build import cache_dir
from tests.acceptance import template

WAIT_S = 120


class Processes:
    """The processes that a test starts; as a context manager it ends them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data_dir = folder / "data"
        self._running: list[subprocess.Popen[str]] = []
        self._clients: list[Foldstep] = []

    def start(self, *argv: str, **environment: str) -> subprocess.Popen[str]:
        with (self.folder / f"{len(self._running)}.log").open("w") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", *argv],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                cwd=self.folder,
                env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
            )
        self._running.append(process)
        return process

    def master(self, port: int = 0, **environment: str) -> tuple[subprocess.Popen[str], Foldstep]:
        environment = {"FOLDSTEP_REPORT_INTERVAL_S": "0.1", "FOLDSTEP_SWEEP_INTERVAL_S": "0.2", **environment}
        template.copy_to(self.data_dir, with_database="FOLDSTEP_DATABASE_URL" not in environment)
        process = self.start("foldstep", "serve", "--dir", str(self.data_dir), "--port", str(port), **environment)
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert url, self.logs()
        token = environment.get("FOLDSTEP_TOKEN") or (self.data_dir / "token").read_text().strip()
        client = Foldstep(url, token, patience_s=20)
        self._clients.append(client)
        return process, client

    def worker(self, master: Foldstep, name: str = "w", members: int = 0, *more: str) -> subprocess.Popen[str]:
        options = {"--url": master.url, "--device": "cpu", "--name": name, "--cache-dir": str(self.folder / "cache")}
        words = [word for pair in options.items() for word in pair]
        token = os.environ.get("FOLDSTEP_TOKEN") or (self.data_dir / "token").read_text().strip()
        words += ["--members", str(members), "--patience", "30", *more]
        return self.start("foldstep.worker", *words, FOLDSTEP_TOKEN=token)

    def replace_master(self, process: subprocess.Popen[str], master: Foldstep) -> Foldstep:
        """Kill a master and start another one at the same address."""
        process.kill()
        process.wait()
        return self.master(int(master.url.rpartition(":")[2]))[1]

    def logs(self) -> str:
        return "\n".join(f"{p.name}: {p.read_text()}" for p in sorted(self.folder.glob("*.log")))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for client in self._clients:
            client.close()
        for process in self._running:
            if process.poll() is None:
                process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()


def new_home(folder: Path) -> str:
    """Make a folder a home without data files, but with the compiled library, whose building takes long."""
    kept = folder / ".cache" / "foldstep" / "compiled"
    if not kept.exists():
        cache_dir().mkdir(parents=True, exist_ok=True)
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.symlink_to(cache_dir())
    return str(folder)


def foldstep(*words: str, cwd: Path, stdin: str | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    environment = {**os.environ, "COLUMNS": "120", **environment}
    return subprocess.run(
        [sys.executable, "-m", "foldstep", *words],
        cwd=cwd, input=stdin, capture_output=True, text=True, env=environment, timeout=WAIT_S, check=False,
    )  # fmt: skip


def until(is_so: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + WAIT_S
    while not is_so():
        assert time.monotonic() < deadline, f"waited in vain: {what}"
        time.sleep(0.02)


def terminate(process: subprocess.Popen[str]) -> int:
    process.send_signal(signal.SIGTERM)
    return process.wait(WAIT_S)


def results(master: Foldstep, search: str) -> list[dict[str, Any]]:
    """Collect everything about the trials that must not depend on which worker trained them when; floats are exact."""
    rows = master.all_trials(search, order_by="number")
    return [
        {
            "trial": r.trial, "state": r.state, "score": r.score, "folds": r.folds, "params": r.params,
            "curves": json.loads(master.curves(search, r.trial).model_dump_json())["curves"],
        }
        for r in rows
    ]  # fmt: skip


def spec(name: str, n_trials: int, **parameters: Any) -> dict[str, Any]:
    """Make the spec of a random search whose members differ in the hyperparameters that decide the packs."""
    searched = {
        "lr": {"low": 1e-4, "high": 1e-1, "log": True},
        "width": {"low": 8, "high": 48, "log": True},
        "dropout": {"low": 0.0, "high": 0.5},
        "optimizer": ["adam", "nesterov"],
        "batch_size": [32, 64],
    }
    return {
        "name": name, "method": "random", "seed": 5, "data": {"dataset": "digits"}, "cv": {"folds": 3},
        "parameters": {**searched, **parameters}, "budget": {"trials": n_trials},
    }  # fmt: skip


def undisturbed(spec: dict[str, Any]) -> list[dict[str, Any]]:
    """Run a search with one worker and no disturbance; return its `results`."""
    with TemporaryDirectory() as folder, Processes(Path(folder)) as processes:
        _, master = processes.master()
        processes.worker(master)
        search = master.submit(spec)
        assert master.wait(search.id).state == "completed", processes.logs()
        return results(master, search.id)


def assert_same(master: Foldstep, search: str, expected: list[dict[str, Any]], processes: Processes) -> None:
    """Assert that a search completes with every trial once and the same results, bit for bit."""
    view = master.wait(search)
    assert view.state == "completed", processes.logs()
    assert view.counts == Counter(row["state"] for row in expected)
    assert results(master, search) == expected
