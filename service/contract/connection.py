"""The HTTP connection of clients to the master: base address, token, typed errors, retries while it restarts."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future, wait
from typing import Any

import httpx

from foldstep.service.contract.errors import Conflict, FoldstepError, Unauthorized, Unavailable, error_from_problem
from foldstep.service.contract.version import VERSION_HEADER, __version__, fits

API = "/api/v1"
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
_PASSING = (502, 503, 504)


class Connection:
    """An HTTP connection to one master, with retries and typed errors.

    Args:
        url: as `http://127.0.0.1:8000`.
        token: sent with every request.
        patience_s: how long to retry while the master cannot be reached, in seconds; every call may be repeated safely.
        timeout_s: timeout of one try, in seconds.
        leaving: once it is set, no request waits for a master that does not answer; None to wait regardless.

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
    ) -> None:
        self.url = url.rstrip("/")
        self.patience_s = patience_s
        self._leaving = leaving
        base = self._base()
        if not (token.isascii() and token.isprintable()):
            raise Unauthorized(f"The token has characters that no token has. {_RIGHT_TOKEN}")
        headers = {"Authorization": f"Bearer {token}"}
        self._http = httpx.Client(base_url=base, headers=headers, timeout=timeout_s, trust_env=False)

    def close(self) -> None:
        """Close the sockets."""
        self._http.close()

    def request(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        """Send a request, retrying while the master cannot be reached, and return the successful response.

        Args:
            method: GET, POST, PUT, DELETE.
            path: below the API's base.
            arguments: as httpx takes them: `json`, `content`, `params`, `headers`, `files`, `timeout`.

        Raises:
            FoldstepError: the typed error that the master answered with.
            Unavailable: it could not be reached within `patience_s`.
        """
        deadline = time.monotonic() + self.patience_s
        wait_s = _FIRST_WAIT_S
        while True:
            try:
                answer = self._try(method, path, arguments)
                if answer.status_code not in _PASSING:
                    return self._checked(answer)
                reason = f"it answered {answer.status_code}"
            except _NOT_THERE as error:
                reason = str(error) or type(error).__name__
            if time.monotonic() + wait_s > deadline or self._is_left_within(wait_s):
                raise Unavailable(f"The master at {self.url} cannot be reached: {reason}. Is it running there?")
            wait_s = min(2 * wait_s, _LONGEST_WAIT_S)

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
        try:
            problem = answer.json()
        except ValueError:
            problem = None
        if not isinstance(problem, dict) or "code" not in problem:
            raise FoldstepError(
                f"{self.url} answered {answer.status_code}, which is not an answer of a Foldstep master."
            )
        raise error_from_problem(problem)
