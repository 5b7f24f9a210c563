"""A real proxy between a worker and its master, which loses, refuses and delays what a test tells it to."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx

Verdict = int | str | None
"""A status to answer with, `cut` to close the connection unheard, `lost` to lose the answer, or None to pass on."""


class Proxy:
    """A proxy; `rule` decides on each request by its method, path and body.

    Attributes:
        seen: method, path and size of the body of each request.
        statuses: the statuses of the answers that the master gave.
    """

    def __init__(self, master: str) -> None:
        self.rule: Callable[[str, str, bytes], Verdict] = lambda *_: None
        self.seen: list[tuple[str, str, int]] = []
        self.statuses: list[int] = []
        self._http = httpx.Client(base_url=master, timeout=60, trust_env=False)
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _handle(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                proxy.seen.append((self.command, self.path, len(body)))
                verdict = proxy.rule(self.command, self.path, body)
                if verdict == "cut":
                    self.close_connection = True
                    return
                if isinstance(verdict, int):
                    problem = {"code": "error", "title": "T", "detail": "the test said so", "faults": []}
                    self._answer(verdict, json.dumps(problem).encode(), {"Content-Type": "application/problem+json"})
                    return
                skipped = ("host", "content-length", "connection")
                headers = {k: v for k, v in self.headers.items() if k.lower() not in skipped}
                answer = proxy._http.request(self.command, self.path, content=body, headers=headers)
                proxy.statuses.append(answer.status_code)
                if verdict == "lost":
                    self.close_connection = True
                    return
                kept = {k: v for k, v in answer.headers.items() if k.lower() in ("content-type", "x-foldstep-version")}
                self._answer(answer.status_code, answer.content, kept)

            def _answer(self, status: int, content: bytes, headers: dict[str, str]) -> None:
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_PUT = do_DELETE = _handle

            def log_message(self, *_: object) -> None:
                """Write nothing."""

        class Server(ThreadingHTTPServer):
            def handle_error(self, *_: object) -> None:
                """Say nothing of clients that have gone."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._http.close()


@contextmanager
def before(master: str) -> Iterator[Proxy]:
    proxy = Proxy(master)
    try:
        yield proxy
    finally:
        proxy.close()
