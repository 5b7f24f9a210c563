"""The cost of the master and of a worker: start, memory, and the master's share of a search of tiny trials.

The master's work is its CPU time while a search of tiny networks on scikit-learn's wine runs with one worker: planning,
leasing, reports and ranking. The worker's memory is its resident set after each tenth of the search. For comparison,
the same kind of networks is trained in this process without a service; the time in the compiled library is a part of
that.
"""

from __future__ import annotations

import os
import random
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from sklearn.datasets import load_wine

from benchmarks.report import arguments, median_and_spread, publish
from benchmarks.sides import folds_of, train_packed
from foldstep import Foldstep
from foldstep.display import n_done
from foldstep.models.compiled.library import Library
from foldstep.service.contract.processes import python_command
from foldstep.service.contract.states import TERMINAL_SEARCH

MIB = 2**20
LOOK_EVERY_S = 2.0  # the interval of the page, whose requests are part of the master's work
TINY: dict[str, Any] = {
    "name": "tiny",
    "method": "random",
    "data": {"dataset": "wine"},
    "cv": {"folds": 5},
    "parameters": {
        "lr": {"low": 1e-3, "high": 1e-1, "log": True},
        "hidden": {"choices": [[16], [32], [16, 16]]},
        "batch_size": 32,
    },
}


def main() -> None:
    """Measure and publish."""
    options = arguments(__doc__ or "")
    shares, searches = (200, 200) if options.quick else (1000, 10_000)
    repetitions = 1 if options.quick else 5
    starts = [start_once() for _ in range(repetitions)]
    worker_start_s = median_and_spread([start_worker_once() for _ in range(repetitions)])[0]
    alone_s, library_s = trained_alone(shares)
    share = search_of(shares)
    long = search_of(searches)
    memory = long["worker_mib"]
    start_s = median_and_spread([s for s, _ in starts])[0]
    rows = [
        {"what": "master: start to the first answer, s", "value": start_s, "goal": 2},
        {"what": "master: resident memory at start, MiB", "value": max(m for _, m in starts), "goal": 150},
        {"what": f"master: most resident memory, {searches} trials, MiB", "value": long["master_mib"], "goal": 150},
        {"what": f"master: CPU share of the wall time, {shares} trials, %", "value": share["share"] * 100, "goal": 10},
        {"what": "worker: start to its registration, s", "value": worker_start_s, "goal": 3},
        {"what": f"wall time of {shares} trials × 5 folds, s", "value": share["wall_s"], "goal": "–"},
        {"what": "the same without the service, s", "value": alone_s, "goal": "–"},
        {"what": "of which in the compiled library, s", "value": library_s, "goal": "–"},
        {"what": f"wall time of {searches} trials × 5 folds, s", "value": long["wall_s"], "goal": "–"},
        {"what": f"worker: growth of memory from 20 % to 100 % of {searches} trials, MiB",
         "value": memory[-1] - memory[2], "goal": "flat"},
    ]  # fmt: skip
    publish("service", options, rows, worker_memory_mib=memory, trials_per_s=shares / share["wall_s"])


@contextmanager
def master(folder: Path) -> Iterator[tuple[Foldstep, psutil.Process, float]]:
    """Start a master; yield a client, its process and the seconds that the start took."""
    begun = time.monotonic()
    argv = python_command("foldstep", "serve", "--dir", str(folder), "--port", "0")
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        client = Foldstep(process.stdout.readline().strip(), (folder / "token").read_text().strip(), patience_s=5)
        client.searches()
        yield client, psutil.Process(process.pid), time.monotonic() - begun
        client.close()
    finally:
        process.terminate()
        process.wait()


def start_once() -> tuple[float, float]:
    """Start a master; return the seconds to its first answer and its resident MiB then."""
    with tempfile.TemporaryDirectory() as folder, master(Path(folder)) as (_, process, took_s):
        return took_s, process.memory_info().rss / MIB


def start_worker_once() -> float:
    """Start a worker; return the seconds until it is registered with the master."""
    with tempfile.TemporaryDirectory() as folder, master(Path(folder)) as (client, _, _), worker_of(folder):
        begun = time.monotonic()
        while not client.workers():
            time.sleep(0.01)
        return time.monotonic() - begun


@contextmanager
def worker_of(folder: str) -> Iterator[psutil.Process]:
    """Run one worker process on the CPU, for the master in a folder, until the block ends."""
    argv = python_command("foldstep", "worker", "--dir", folder, "--processes", "1", "--device", "cpu")
    worker = subprocess.Popen(argv, stderr=subprocess.DEVNULL)
    try:
        yield psutil.Process(worker.pid)
    finally:
        worker.terminate()
        worker.wait()


def trained_alone(trials: int) -> tuple[float, float]:
    """Train tiny trials without a service; return the seconds, and those of them in the compiled library."""
    draw, space = random.Random(0), TINY["parameters"]
    lr, source = space["lr"], folds_of(load_wine(), folds=5)
    drawn = [
        {
            "lr": lr["low"] * (lr["high"] / lr["low"]) ** draw.random(),
            "hidden": draw.choice(space["hidden"]["choices"]),
            "batch_size": space["batch_size"],
        }
        for _ in range(trials)
    ]
    with library_clock() as in_library:
        begun = time.monotonic()
        train_packed(source, list(enumerate(drawn)))
        return time.monotonic() - begun, sum(in_library)


@contextmanager
def library_clock() -> Iterator[list[float]]:
    """Measure the seconds of every call of the compiled library in the block."""
    took: list[float] = []
    functions = {name: getattr(Library, name) for name in ("train", "evaluate", "keep", "transposed")}

    def timed(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            begun = time.monotonic()
            try:
                return function(*arguments)
            finally:
                took.append(time.monotonic() - begun)

        return call

    for name, function in functions.items():
        setattr(Library, name, timed(function))
    try:
        yield took
    finally:
        for name, function in functions.items():
            setattr(Library, name, function)


def search_of(trials: int) -> dict[str, Any]:
    """Run a search of tiny trials with one worker; measure the master's CPU share, and the memory of both."""
    with tempfile.TemporaryDirectory() as folder, master(Path(folder)) as (client, process, _):
        search = client.submit({**TINY, "budget": {"trials": trials}}).id
        with worker_of(folder) as worker:
            return _watch(client, search, process, worker, trials)


def _watch(
    client: Foldstep, search: str, process: psutil.Process, worker: psutil.Process, trials: int
) -> dict[str, Any]:
    while not n_done(client.search(search)):
        time.sleep(0.02)
    # measured from the first results on: while the worker starts, the master is idle
    begun, cpu, done = time.monotonic(), _cpu_s(process), n_done(client.search(search))
    worker_mib: list[float] = []
    master_mib = 0.0
    while True:
        view = client.search(search)
        if n_done(view) >= trials * len(worker_mib) // 10:
            worker_mib.append(round(_tree_rss(worker) / MIB, 1))
        master_mib = max(master_mib, process.memory_info().rss / MIB)
        if view.state in TERMINAL_SEARCH:
            break
        time.sleep(LOOK_EVERY_S)
    wall_s = time.monotonic() - begun
    assert view.state == "completed"
    assert n_done(view) == trials
    return {
        "wall_s": wall_s * trials / (trials - done),
        "share": (_cpu_s(process) - cpu) / wall_s,
        "worker_mib": worker_mib,
        "master_mib": master_mib,
    }


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _tree_rss(process: psutil.Process) -> int:
    """Read the resident bytes of the training process: the largest child process of the command."""
    return max(int(child.memory_info().rss) for child in process.children(recursive=True))


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
