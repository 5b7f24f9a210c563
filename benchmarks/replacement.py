"""A local worker is killed: time until the master knows it, until its trials are given out again, until they train.

A real master on SQLite and `foldstep worker` with one process, which trains a search of long trainings. The process is
killed by SIGKILL; `foldstep worker` tells the master and starts another one. Each kill is that of a fresh service: one
that is killed again and again before it ends a lease waits longer each time.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil

from benchmarks.report import arguments, median_and_spread, publish
from foldstep import Foldstep
from foldstep.service.contract.processes import python_command
from foldstep.service.contract.states import TrialState

GOAL_S = 5
SPEC: dict[str, Any] = {
    "name": "replaced", "method": "random", "seed": 1, "data": {"dataset": "digits"}, "cv": {"folds": 3},
    "parameters": {"lr": {"low": 1e-4, "high": 1e-3, "log": True}, "width": 32, "epochs": 100_000},
    "budget": {"trials": 8},
}  # fmt: skip
LONGEST_S = 120.0


def until(is_so: Callable[[], bool]) -> float:
    """Wait until something is so, and return the seconds that it took.

    Raises:
        TimeoutError: it is not so after `LONGEST_S` seconds.
    """
    began = time.monotonic()
    while not is_so():
        if time.monotonic() - began > LONGEST_S:
            raise TimeoutError
        time.sleep(0.02)
    return time.monotonic() - began


def start(folder: Path, stack: ExitStack, *words: str) -> subprocess.Popen[str]:
    """Start a command, which is ended with the stack."""
    process = subprocess.Popen(
        python_command("foldstep", *words), cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    stack.callback(process.wait)
    stack.callback(process.terminate)
    return process


def measure(folder: Path) -> tuple[float, float, float]:
    """Kill the worker; return the seconds until it is known, until its trials are given out again, until they train."""
    with ExitStack() as stack:
        master = start(folder, stack, "serve", "--dir", "data", "--port", "0")
        assert master.stdout is not None
        url = master.stdout.readline().strip()
        client = Foldstep(url, (folder / "data" / "token").read_text().strip())
        stack.callback(client.close)
        group = start(folder, stack, "worker", "--dir", "data", "--device", "cpu", "--processes", "1")
        search = client.submit(SPEC).id

        def has_running() -> bool:
            return bool(client.search(search).counts.get(TrialState.RUNNING))

        def epochs() -> int:
            return client.search(search).progress.epochs_done

        before = epochs()
        until(lambda: epochs() > before)
        time.sleep(3)  # it trains for a while
        (process,) = psutil.Process(group.pid).children()
        process.kill()
        known = until(lambda: not has_running())
        given = known + until(has_running)
        left = epochs()
        return known, given, given + until(lambda: epochs() != left)  # by the next report


def main() -> None:
    """Measure and publish."""
    options = arguments(__doc__ or "")
    measured = []
    for _ in range(2 if options.quick else 5):
        with tempfile.TemporaryDirectory() as folder:
            measured.append(measure(Path(folder)))
    steps = ("the master knows of it", "its trials are given out again", "epochs that were trained again are reported")
    rows = []
    for step, seconds in zip(steps, zip(*measured, strict=True), strict=True):
        median, least, most = median_and_spread(seconds)
        rows.append({"seconds until": step, "median": median, "least": least, "most": most})
    publish("replacement", options, rows, goal_s=GOAL_S, kills=len(measured))


if __name__ == "__main__":
    main()
