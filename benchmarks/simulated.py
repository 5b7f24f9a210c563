"""Simulated workers: they claim trials over HTTP, report on each five times and finish it, and train nothing.

A process of its own, so that its work is not the master's: `python -m benchmarks.simulated` with a JSON record of
`Load` as its argument. It prints one JSON record of what it saw. The client is a bare socket: a library would take as
long for a call as the master does.
"""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
from dataclasses import asdict, dataclass, field
from typing import Any
from urllib.parse import urlsplit

from foldstep.service.contract.version import __version__

N_REPORTS = 5
EPOCHS = 5


@dataclass(frozen=True)
class Load:
    """What the simulated workers do.

    Attributes:
        urls: addresses of the masters; worker i takes the i-th, and so on round.
        workers: how many there are, each a thread.
        members: that each asks for.
        folds: of the search.
        seconds: after which none asks for more; None to work until nothing is left.
        is_short: whether a report ends the lease and asks for the next one, so that short leases take fewer calls.
    """

    urls: list[str]
    token: str
    workers: int
    members: int
    folds: int
    seconds: float | None
    is_short: bool


@dataclass
class Seen:
    """What one worker saw: its claims, how long its calls took in seconds, and what went wrong."""

    claimed: list[tuple[str, int]] = field(default_factory=list)
    finished: int = 0
    calls_s: dict[str, list[float]] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)


class Caller:
    """One connection to a master, kept open."""

    def __init__(self, url: str, token: str) -> None:
        parts = urlsplit(url)
        self._socket = socket.create_connection((parts.hostname, parts.port), timeout=60)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._head = f"Host: {parts.netloc}\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n"
        self._rest = b""

    def post(self, path: str, body: Any, lease: str = "") -> tuple[int, bytes]:
        """Send a JSON body, and return status and body of the answer."""
        content = json.dumps(body, separators=(",", ":")).encode()
        fence = f"X-Lease-Token: {lease}\r\n" if lease else ""
        head = f"POST /api/v1{path} HTTP/1.1\r\n{self._head}{fence}Content-Length: {len(content)}\r\n\r\n"
        self._socket.sendall(head.encode() + content)
        return self._answer()

    def _answer(self) -> tuple[int, bytes]:
        data = self._rest
        while (end := data.find(b"\r\n\r\n")) < 0:
            data += self._more()
        head, body = data[:end].lower(), data[end + 4 :]
        status = int(head[9:12])
        at = head.find(b"content-length:")
        length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 and status != 204 else 0
        pieces = [body]
        n = len(body)
        while n < length:
            pieces.append(self._more())
            n += len(pieces[-1])
        body = b"".join(pieces)
        self._rest = body[length:]
        return status, body[:length]

    def _more(self) -> bytes:
        piece = self._socket.recv(1 << 18)
        if not piece:
            raise ConnectionError("the master closed the connection")
        return piece

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()


class Worker:
    """One simulated worker."""

    def __init__(self, load: Load, index: int, end_at: float) -> None:
        self.load, self.seen, self._end_at = load, Seen(), end_at
        self._caller = Caller(load.urls[index % len(load.urls)], load.token)
        registration = {"name": f"simulated {index}", "device": "cpu", "version": __version__}
        self._ask = {"worker": self._call("register", "/workers", registration)["worker"], "members": load.members}

    def run(self) -> None:
        """Work until the time is over, or nothing is left."""
        try:
            lease = self._call("lease", "/leases", self._ask)
            idle = 0
            while lease is not None or idle < 20:
                if lease is None:
                    idle += 1
                    time.sleep(0.02)
                    lease = None if self._is_over() else self._call("lease", "/leases", self._ask)
                    continue
                idle = 0
                lease = self._train(lease)
                if self._is_over() and lease is None:
                    return
        except (OSError, RuntimeError) as error:
            self.seen.errors.append(str(error))
        finally:
            self._caller.close()

    def _is_over(self) -> bool:
        return time.monotonic() > self._end_at

    def _train(self, lease: dict[str, Any]) -> dict[str, Any] | None:
        """Report five times on a lease, the last time with all results, and return the next lease."""
        numbers = [trial["number"] for trial in lease["trials"]]
        self.seen.claimed += [(lease["search"], n) for n in numbers]
        path, token = f"/leases/{lease['lease']}", lease["token"]
        for epoch in range(1, N_REPORTS):
            progress = [{"trial": n, "epoch": epoch, "score": 0.5} for n in numbers]
            self._call("report", f"{path}:report", {"progress": progress, "member_steps": 100}, token)
        end = {"results": [result(n, self.load.folds) for n in numbers], "member_steps": 100}
        if self.load.is_short:
            more = {} if self._is_over() else {"next": self._ask}
            reply = self._call("complete", f"{path}:report", {**end, "release": {}, **more}, token)
            self.seen.finished += len(numbers)
            return reply.get("lease")  # type: ignore[no-any-return]
        self._call("complete", f"{path}:report", end, token)
        self.seen.finished += len(numbers)
        self._call("release", f"{path}:release", {}, token)
        return None if self._is_over() else self._call("lease", "/leases", self._ask)

    def _call(self, kind: str, path: str, body: Any, lease: str = "") -> Any:
        begun = time.monotonic()
        status, answer = self._caller.post(path, body, lease)
        self.seen.calls_s.setdefault(kind, []).append(time.monotonic() - begun)
        if status >= 300:
            raise RuntimeError(f"{kind}: {status} {answer[:300].decode(errors='replace')}")
        return json.loads(answer) if answer else None


def score_of(trial: int) -> float:
    """Compute a score that looks random, the same for the same trial."""
    return (trial * 2654435761 % 2**32) / 2**32


def result(trial: int, folds: int) -> dict[str, Any]:
    """Make the result of a trial that reached its last epoch."""
    score = score_of(trial)
    curve = {"train_loss": [1.0, 0.5, 0.4, 0.3, 0.25], "score": [0.1, 0.2, 0.3, 0.4, score]}
    done = {"best_epoch": EPOCHS, "epochs": EPOCHS, "curve": curve, "score": score}
    return {"trial": trial, "outcome": "completed", "duration_s": 1.0,
            "folds": [{"fold": f, **done} for f in range(folds)]}  # fmt: skip


def main() -> None:
    """Run the workers of the load that is given, and print what they saw."""
    load = Load(**json.loads(sys.argv[1]))
    begun = time.monotonic()
    end_at = begun + (load.seconds if load.seconds is not None else 1e9)
    workers = [Worker(load, index, end_at) for index in range(load.workers)]
    threads = [threading.Thread(target=worker.run) for worker in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sys.stdout.write(json.dumps({"took_s": time.monotonic() - begun, "seen": [asdict(w.seen) for w in workers]}))


if __name__ == "__main__":
    main()
