"""Start worker processes on this machine, one for each GPU or CPU core, and end them cleanly."""

from __future__ import annotations

import importlib.util
import os
import secrets
import signal
import socket
import subprocess
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from foldstep.service.contract.errors import InvalidInput
from foldstep.service.contract.processes import python_command, with_lifeline
from foldstep.worker.launch.obituaries import Obituaries
from foldstep.worker.launch.started import READY, WORKED, End, StartedWorker
from foldstep.worker.settings import PATIENCE_S

_STARTS = 6
"""Times in a row that a process may die before it is ready; then a further start would end the same way."""
_FIRST_WAIT_S, _LONGEST_WAIT_S = 1.0, 60.0
"""Pauses before a process is started again; each death without work done doubles the pause."""
_LOOK_S = 0.1


@dataclass(frozen=True)
class WorkerCommand:
    """The command that starts every worker process of this machine.

    Attributes:
        members: how many to ask for with a lease; 0 for the device's default.
        patience_s: seconds to retry a request while the master does not answer.
    """

    cache_dir: Path
    members: int = 0
    patience_s: float = PATIENCE_S

    def argv(self, device: str, name: str) -> list[str]:
        """Build the command line; the process reads the master's address and the token from standard input."""
        options = {
            "--url": "-",
            "--device": device,
            "--name": name,
            "--cache-dir": str(self.cache_dir),
            "--members": str(self.members),
            "--patience": str(self.patience_s),
        }
        return python_command("foldstep.worker", *(word for pair in options.items() for word in pair))

    def environment(self) -> dict[str, str]:
        """Build the environment, with one thread for each process: that is faster than one process with several."""
        threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
        return {**os.environ, **threads}


def find_devices(device: str, processes: int | None) -> list[str]:
    """Choose the device of each process to start.

    Args:
        device: `cpu`, `cuda`, `cuda:N`, or `auto` for GPUs where there are any.
        processes: how many; None for one a GPU or one a CPU core.

    Raises:
        InvalidInput: PyTorch is not installed, or cannot use that GPU.
    """
    if importlib.util.find_spec("torch") is None:
        raise InvalidInput("A worker needs PyTorch, which is not installed: pip install 'foldstep[worker]'.")
    if device in ("auto", "cuda"):
        gpus = _count_gpus()
        if gpus:
            return [f"cuda:{i % gpus}" for i in range(processes or gpus)]
        if device == "cuda":
            raise _no_gpu(device, gpus)
        device = "cpu"
    elif device.startswith("cuda:") and int(device.removeprefix("cuda:")) >= (gpus := _count_gpus()):
        raise _no_gpu(device, gpus)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return [device] * (processes or (cores if device == "cpu" else 1))


def _no_gpu(device: str, gpus: int) -> InvalidInput:
    there = "no GPU" if gpus == 0 else f"{gpus} GPU{'s' if gpus > 1 else ''}"
    return InvalidInput(f"There is no device {device}: PyTorch can use {there} here. Take auto or cpu.")


def _count_gpus() -> int:
    """Count the GPUs that PyTorch can use, in another process, since counting starts the driver."""
    if version("torch").endswith("+cpu"):
        return 0  # known without the seconds that importing PyTorch takes
    counter = python_command("foldstep.worker.launch.gpus")
    lifeline = with_lifeline(os.environ, is_held_by_thread=True)
    done = subprocess.run(counter, capture_output=True, text=True, check=False, **lifeline)
    return int(done.stdout) if done.returncode == 0 and done.stdout.strip().isdigit() else 0


class WorkerGroup:
    """The worker processes of one machine; one that crashes is started again, and the master told of its death.

    They may be started before the master: importing PyTorch takes them longer than a master takes to start.
    """

    def __init__(self, command: WorkerCommand, devices: Sequence[str]) -> None:
        self._command, self._devices = command, devices
        self._leaving, self._is_connected = threading.Event(), threading.Event()
        self._connection = b""
        self._obituaries = Obituaries(self._leaving)
        self._workers: dict[int, StartedWorker] = {}
        self._threads = [threading.Thread(target=self._keep_running, args=(i,)) for i in range(len(devices))]
        self.ends: dict[int, End] = {}

    def start(self) -> None:
        """Start every process."""
        for thread in self._threads:
            thread.start()

    def connect(self, url: str, token: str) -> None:
        """Send every process the master's address and the token."""
        self._connection = f"{url}\n{token}\n".encode()
        self._obituaries.connect(url, token)
        self._is_connected.set()

    def leave(self) -> None:
        """Ask every process to finish its epoch, save and give back; do not wait for that."""
        self._leaving.set()
        for worker in list(self._workers.values()):
            worker.leave()

    def wait(self) -> int:
        """Wait until every process has ended, and return the worst exit code."""
        for thread in self._threads:
            while thread.is_alive():
                thread.join(timeout=0.2)  # in pieces, so that signals are heard
        return max((abs(end.exit_code) for end in self.ends.values()), default=0)

    @property
    def is_gone(self) -> bool:
        """Whether every process has ended, and none will be started again."""
        return not any(thread.is_alive() for thread in self._threads)

    @property
    def is_down(self) -> bool:
        """Whether no process runs at present: all have ended, and are started again later, if at all."""
        return len(self.ends) == len(self._devices) and not any(w.is_running for w in list(self._workers.values()))

    @property
    def reason(self) -> str:
        """How the processes ended, in words; what several have in common is said once."""
        return "; ".join(dict.fromkeys(str(end) for _, end in sorted(self.ends.items())))

    def _keep_running(self, i: int) -> None:
        name = f"{socket.gethostname()}/{os.getpid()}.{i}"
        argv = self._command.argv(self._devices[i], name)
        n_unready, wait_s = 0, _FIRST_WAIT_S
        while n_unready < _STARTS:
            key = secrets.token_hex(16)
            worker = self._workers[i] = StartedWorker(argv, self._command.environment())
            if self._leaving.is_set():  # it was started while the others were told to leave
                worker.leave()
            self.ends[i] = end = self._meaning(self._tell(worker, key))
            if not end.is_final:
                self._obituaries.send(key, end)
            n_unready = 0 if READY in worker.marks else n_unready + 1
            wait_s = _FIRST_WAIT_S if n_unready or WORKED in worker.marks else wait_s
            if end.is_final or self._leaving.wait(wait_s):
                return
            wait_s = min(2 * wait_s, _LONGEST_WAIT_S)

    def _tell(self, worker: StartedWorker, key: str) -> End:
        """Send a process the master's address, the token and its key, once they are known, and wait for its end."""
        while worker.is_running and not self._is_connected.wait(_LOOK_S):
            pass
        return worker.communicate(self._connection and self._connection + f"{key}\n".encode())

    def _meaning(self, end: End) -> End:
        """Treat a process that SIGTERM killed while the group was leaving as one that ended cleanly."""
        return End(0, end.said) if end.exit_code == -signal.SIGTERM and self._leaving.is_set() else end
