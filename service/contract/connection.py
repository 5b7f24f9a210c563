"""The HTTP connection of clients to the master: base address, token, typed errors, retries while it restarts."""

from __future__ import annotations

import os
import ssl
import threading
import time
from collections.abc import Collection
from concurrent.futures import Future, wait
from typing import Any

import httpx

from foldstep.service.contract.errors import (
    Conflict,
    FoldstepError,
    InvalidInput,
    Unauthorized,
    Unavailable,
    error_from_problem,
)
from foldstep.service.contract.version import VERSION_HEADER, __version__, fits

API = "/api/v1"
CA_VARIABLE = "FOLDSTEP_CA_FILE"
"""Names a PEM file with the certificates that clients believe, for a master whose own no usual one vouches for."""
READING_DATA = httpx.Timeout(30.0, read=960.0, write=960.0)
"""The `timeout` of a request for which the master reads a data file; its reader gives up after 900 s."""
_LAST_PORT = 65535
_RIGHT_TOKEN = (
    "The right one is in the file `token` of the master's data folder: name the folder with --dir, pass --token-file, "
    "or set FOLDSTEP_TOKEN."
)
_FIRST_WAIT_S = 0.1
_LONGEST_WAIT_S = 5.0
_LOOK_S = 0.1
_LEAVE_S = 3.0
"""How long a request that is under way may still take once the process is to leave, in seconds."""
_NOT_THERE = (httpx.ConnectError, httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError, httpx.TimeoutException)
PASSING = frozenset({408, 429, 502, 503, 504, 507})
"""Statuses of answers after which the same request may succeed later: too slow, too many, restarting, disk full."""


class Connection:
    """An HTTP connection to one master, with retries and typed errors.

    Args:
        url: as `http://127.0.0.1:8000`.
        token: sent with every request.
        patience_s: how long to retry while the master cannot be reached, in seconds; every call may be repeated safely.
        timeout_s: timeout of one try, in seconds.
        leaving: once it is set, no request waits for a master that does not answer; None to wait regardless.
        passing: statuses of answers that are retried as if the master could not be reached.

    Raises:
        Unavailable: the address is not a valid URL.
        Unauthorized: the token can be nobody's.
    """

    def __init__(
        self,
        url: str,
        token: str,
        *,
        patience_s: float = 0.0,
        timeout_s: float = 30.0,
        leaving: threading.Event | None = None,
        passing: Collection[int] = PASSING,
    ) -> None:
        self.url = url.rstrip("/")
        self.patience_s = patience_s
        self._leaving, self._passing = leaving, passing
        base = self._base()
        if not (token.isascii() and token.isprintable()):
            raise Unauthorized(f"The token has characters that no token has. {_RIGHT_TOKEN}")
        headers = {"Authorization": f"Bearer {token}"}
        self._http = httpx.Client(
            base_url=base, headers=headers, timeout=timeout_s, trust_env=False, verify=_authorities(base)
        )

    def close(self) -> None:
        """Close the sockets."""
        self._http.close()

    def request(self, method: str, path: str, *, patience_s: float | None = None, **arguments: Any) -> httpx.Response:
        """Send a request, retrying while the master cannot be reached, and return the successful response.

        Args:
            method: GET, POST, PUT, DELETE.
            path: below the API's base.
            patience_s: how long to retry this request, in seconds; None for the connection's own patience.
            arguments: as httpx takes them: `json`, `content`, `params`, `headers`, `files`, `timeout`.

        Raises:
            FoldstepError: the typed error that the master answered with.
            Unavailable: it could not be reached within `patience_s`.
        """
        deadline = time.monotonic() + (self.patience_s if patience_s is None else patience_s)
        wait_s = _FIRST_WAIT_S
        while True:
            try:
                answer = self._try(method, path, arguments)
                if answer.status_code not in self._passing:
                    return self._checked(answer)
                error = self._passed(answer)
            except _NOT_THERE as lost:
                reason = str(lost) or type(lost).__name__
                error = Unavailable(f"The master at {self.url} cannot be reached: {reason}. Is it running there?")
            if time.monotonic() + wait_s > deadline or self._is_left_within(wait_s):
                raise error
            wait_s = min(2 * wait_s, _LONGEST_WAIT_S)

    def _passed(self, answer: httpx.Response) -> Unavailable:
        """Build the error for an answer after which the same request may succeed later."""
        problem = _problem(answer)
        said = f": {problem.get('detail')}" if problem else ". Is it running there?"
        error = Unavailable(f"The master at {self.url} cannot do it now, it answered {answer.status_code}{said}")
        error.status = answer.status_code
        return error

    def _is_left_within(self, seconds: float) -> bool:
        """Wait, and tell whether the process is to leave; then the wait ends at once."""
        if self._leaving is None:
            time.sleep(seconds)
            return False
        return self._leaving.wait(seconds)

    def _try(self, method: str, path: str, arguments: dict[str, Any]) -> httpx.Response:
        """Send a request once.

        Where the process may have to leave, a thread of its own sends it: nothing else could end the wait for a master
        that hangs, or a machine that is gone, before the timeout.
        """
        if self._leaving is None:
            return self._http.request(method, path, **arguments)
        answer: Future[httpx.Response] = Future()

        def send() -> None:
            try:
                answer.set_result(self._http.request(method, path, **arguments))
            except BaseException as error:
                answer.set_exception(error)

        threading.Thread(target=send, name="request", daemon=True).start()
        while not self._leaving.is_set() and not wait([answer], timeout=_LOOK_S).done:
            pass
        if not wait([answer], timeout=_LEAVE_S).done:
            raise httpx.ReadTimeout(f"it did not answer within {_LEAVE_S:g} s, and this process is leaving")
        return answer.result()

    def _base(self) -> httpx.URL:
        """Parse the address."""
        try:
            base = httpx.URL(self.url + API)
            base.host.encode("idna")
            is_complete = base.scheme in ("http", "https") and bool(base.host) and (base.port or 0) <= _LAST_PORT
            is_complete = is_complete and not any(c.isspace() for c in self.url)
        except (httpx.InvalidURL, UnicodeError):
            is_complete = False
        if not is_complete:
            raise Unavailable(
                f"{self.url or 'Nothing'} is no address of a master; one looks like http://127.0.0.1:8765."
            )
        return base

    def _checked(self, answer: httpx.Response) -> httpx.Response:
        if answer.status_code == 401:
            raise Unauthorized(f"The master at {self.url} does not accept this token. {_RIGHT_TOKEN}")
        version = answer.headers.get(VERSION_HEADER, __version__)
        if not fits(version):
            raise Conflict(
                f"The master at {self.url} is of version {version}, and this is {__version__}: "
                "install the same version on both sides."
            )
        if answer.is_success:
            return answer
        problem = _problem(answer)
        if problem is None:
            text = f"{self.url} answered {answer.status_code}, which is not an answer of a Foldstep master."
            error = FoldstepError(text)
        else:
            error = error_from_problem(problem)
        error.status = answer.status_code
        raise error


def _problem(answer: httpx.Response) -> dict[str, Any] | None:
    """Read the problem document of an answer; None if it is not one of a Foldstep master."""
    try:
        problem = answer.json()
    except ValueError:
        return None
    return problem if isinstance(problem, dict) and "code" in problem else None


def _authorities(base: httpx.URL) -> ssl.SSLContext | bool:
    """Find whose certificates are believed: the usual ones, or those in the file that `FOLDSTEP_CA_FILE` names.

    Raises:
        InvalidInput: that file cannot be read.
    """
    file = os.environ.get(CA_VARIABLE)
    if base.scheme != "https" or not file:
        return base.scheme == "https"
    try:
        return ssl.create_default_context(cafile=file)
    except OSError as error:  # that of SSL is one
        raise InvalidInput(f"{CA_VARIABLE} names {file}, which cannot be read as PEM certificates: "
                           f"{error.strerror or error}.") from None  # fmt: skip
