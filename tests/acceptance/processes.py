"""Real processes: a master, workers, commands; started on free ports, ended whatever happens."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from foldstep.client import Foldstep

WAIT_S = 120


class Processes:
    """Everything that a test starts."""

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
        return self.start("worker", *words, "--members", str(members), "--patience", "30", *more, FOLDSTEP_TOKEN=token)

    def logs(self) -> str:
        return "\n".join(f"{p.name}: {p.read_text()}" for p in sorted(self.folder.glob("*.log")))

    def end(self) -> None:
        for client in self._clients:
            client.close()
        for process in self._running:
            if process.poll() is None:
                process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()


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
    """Everything about the trials that must not depend on who trained them when; floats in full."""
    rows = master.all_trials(search, order_by="number")
    return [
        {
            "trial": r.trial, "state": r.state, "score": r.score, "folds": r.folds, "params": r.params,
            "curves": json.loads(master.curves(search, r.trial).model_dump_json())["curves"],
        }
        for r in rows
    ]  # fmt: skip
