"""The server: sockets, limits of connections, signals; what runs between the network and the application."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import resource
import socket
import ssl
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from types import FrameType
from typing import Any

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from foldstep.service import child
from foldstep.service.contract.errors import Conflict, InvalidInput
from foldstep.service.settings import Settings

_CHILDREN_S = 3
"""Seconds that a child may still work after the signal; less than `SHUTDOWN_S`."""
_log = logging.getLogger(__name__)
SHUTDOWN_S = 8
"""Seconds for requests in flight after the signal; a container is killed after ten."""
_MAX_HEAD_BYTES = 1 << 16
_OTHER_FILES = 200
"""File descriptors that a master needs besides its connections."""


@dataclass
class Crowd:
    """The open connections of a server that wait for the other side; the longest in that state are first.

    Attributes:
        max_connections: how many connections may be open.
        head_timeout_s: seconds within which the head of a request has to arrive.
        half_open: wait for the head of a request.
        idle: wait for another request.
        stalled: wait for the other side to read its answer.
        receiving: wait for the rest of a body.
    """

    max_connections: int
    head_timeout_s: float
    half_open: dict[GuardedProtocol, None] = field(default_factory=dict)
    idle: dict[GuardedProtocol, None] = field(default_factory=dict)
    stalled: dict[GuardedProtocol, None] = field(default_factory=dict)
    receiving: dict[GuardedProtocol, None] = field(default_factory=dict)

    def make_room(self, strangers: Iterable[GuardedProtocol]) -> bool:
        """Close a connection; tell whether one could be.

        The one goes that has waited longest for the other side; else one that has shown no token; else the last one
        that has begun to send a body, for a long upload is honest.
        """
        waiting = next((part for part in (self.half_open, self.idle, self.stalled) if part), None)
        last = next(reversed(self.receiving), None)
        found = next(iter(waiting), None) if waiting else next(iter(strangers), last)
        if found is not None:
            found.abandon()
        return found is not None

    def forget(self, connection: GuardedProtocol) -> None:
        """Take a connection out of every state."""
        for part in (self.half_open, self.idle, self.stalled, self.receiving):
            part.pop(connection, None)


class GuardedProtocol(HttpToolsProtocol):
    """HTTP as uvicorn speaks it, with a time limit and a size limit for heads, and a limit of connections.

    Where there are too many connections, one that waits for the other side makes room: who sends little, reads nothing
    or says nothing keeps nobody out.
    """

    def __init__(self, *arguments: Any, crowd: Crowd, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._crowd = crowd
        self._timer: asyncio.TimerHandle | None = None
        self._head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Make room, and wait for the first request."""
        super().connection_made(transport)
        if len(self.connections) > self._crowd.max_connections and not self._crowd.make_room(self._strangers()):
            self._answer(503, "Service Unavailable")
            return
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._end_waiting()
        self._crowd.forget(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on, unless a head is too long."""
        if self.transport.is_closing():
            return
        self._head_bytes += len(data)
        super().data_received(data)
        if self._timer is not None and self._head_bytes > _MAX_HEAD_BYTES:
            self._answer(431, "Request Header Fields Too Large")

    def on_message_begin(self) -> None:
        """Wait for the head of a request, from its first byte on."""
        super().on_message_begin()
        self._head_bytes = 0
        if self._timer is None:
            self._await_head()

    def on_headers_complete(self) -> None:
        """Pass the request on."""
        self._end_waiting()
        self._crowd.receiving[self] = None
        before = self.cycle
        super().on_headers_complete()
        if self.cycle is not before:
            self.cycle.transport = _OneWrite(self.transport)  # type: ignore[assignment]

    def on_message_complete(self) -> None:
        """Note that the body is there."""
        self._crowd.receiving.pop(self, None)
        super().on_message_complete()

    def pause_writing(self) -> None:
        """Note that the other side does not read."""
        self._crowd.stalled[self] = None
        super().pause_writing()

    def resume_writing(self) -> None:
        """Note that it reads again."""
        self._crowd.stalled.pop(self, None)
        super().resume_writing()

    def on_response_complete(self) -> None:
        """Wait for the next request; uvicorn closes connections that are idle for long."""
        super().on_response_complete()
        if not self.pipeline and self._timer is None and not self.transport.is_closing():
            self._crowd.idle[self] = None

    def _strangers(self) -> Iterator[GuardedProtocol]:
        """Find the other connections whose present request has shown no token."""
        others: Iterable[Any] = (c for c in self.connections if isinstance(c, GuardedProtocol) and c is not self)
        return (other for other in others if other.scope is None or "caller" not in other.scope.get("state", {}))

    def abandon(self) -> None:
        """Close the connection at once."""
        if self.cycle is not None:
            self.cycle.disconnected = True
        self._end_waiting()
        self._crowd.forget(self)
        self.connections.discard(self)
        self.transport.abort()

    def _await_head(self) -> None:
        self._crowd.idle.pop(self, None)
        self._crowd.half_open[self] = None
        self._timer = self.loop.call_later(self._crowd.head_timeout_s, self.abandon)

    def _end_waiting(self) -> None:
        self._crowd.idle.pop(self, None)
        self._crowd.half_open.pop(self, None)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _answer(self, status: int, reason: str) -> None:
        self._end_waiting()
        head = f"HTTP/1.1 {status} {reason}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        self.transport.write(head.encode())
        self.transport.close()


class _OneWrite:
    """The transport of one answer: its head is sent with the first part of its body, in one system call."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport, self._head = transport, b""
        self._is_begun = False

    def write(self, data: bytes) -> None:
        """Send, except the head."""
        if not self._is_begun and not data.startswith(_CONTINUE):
            self._is_begun, self._head = True, data
            return
        self._transport.write(self._head + data)
        self._head = b""

    def close(self) -> None:
        """Send what is left, and close."""
        self._transport.write(self._head)
        self._transport.close()

    def is_closing(self) -> bool:
        """Tell whether the connection is being closed."""
        return self._transport.is_closing()


_CONTINUE = b"HTTP/1.1 100 "


class Server(uvicorn.Server):
    """A server that ends with exit code 0 on SIGTERM and SIGINT; uvicorn's own would send itself the signal again.

    Args:
        config: of uvicorn.
        announce: called once it answers and hears signals.
        handshake_s: seconds that a TLS handshake may take.
    """

    def __init__(self, config: uvicorn.Config, announce: Callable[[], None], handshake_s: float) -> None:
        super().__init__(config)
        self._announce, self._handshake_s = announce, handshake_s

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to answer, and announce it."""
        if self.config.ssl is not None:  # uvicorn has no setting for it, and a handshake may take a minute by itself
            loop: Any = asyncio.get_running_loop()
            loop.create_server = partial(loop.create_server, ssl_handshake_timeout=self._handshake_s)
        await super().startup(sockets)
        self._announce()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take no more requests, and answer those that are in flight."""
        _log.info("ends after %d requests in flight", len(self.server_state.tasks))
        # those that wait for a child are told that the master ends, before uvicorn gives them up
        asyncio.get_running_loop().call_later(_CHILDREN_S, child.end_all)
        await super().shutdown(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002
        """Finish the running requests, then end; end at once on a second signal."""
        self.force_exit = self.should_exit
        self.should_exit = True


def server(app: FastAPI, settings: Settings, announce: Callable[[], None]) -> Server:
    """Make a server for an application whose database is open."""
    crowd = Crowd(_connections(settings.max_connections), settings.head_timeout_s)
    protocol: Any = partial(GuardedProtocol, crowd=crowd)
    # the database is opened before and not by uvicorn, which would make a log entry and an exit code 3 of every refusal
    config = uvicorn.Config(
        app,
        lifespan="off",
        http=protocol,
        ws="none",
        log_config=None,
        access_log=False,
        ssl_certfile=settings.tls_cert,
        ssl_keyfile=settings.tls_key,
        root_path=settings.root_path,
        proxy_headers=bool(
            settings.trusted_proxies
        ),  # from those alone; uvicorn would trust any process of this machine
        forwarded_allow_ips=list(settings.trusted_proxies),
        server_header=False,
        timeout_graceful_shutdown=SHUTDOWN_S,
    )
    return Server(config, announce, settings.head_timeout_s)


def _connections(wanted: int) -> int:
    """Raise the limit of open files as far as it goes, and find how many connections fit under it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY:
        hard = wanted + _OTHER_FILES
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return max(1, min(wanted, hard - _OTHER_FILES))


def listening(host: str, port: int) -> socket.socket:
    """Open the socket that the master listens on.

    Raises:
        Conflict: the address is in use, or not this machine's.
    """
    try:
        listener = socket.create_server((host, port), backlog=2048, family=_family(host))
    except OSError as error:
        raise _not_listening(host, port, error) from error
    # connections inherit it; without it the body of each answer waits 40 ms for the acknowledgement of its head
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def _not_listening(host: str, port: int, error: OSError) -> Conflict:
    if error.errno is None or error.errno < 0 or error.errno == errno.EADDRNOTAVAIL:  # below 0: no such name
        return Conflict(f"Cannot listen on {host}: this machine has no such address; choose another --host.")
    reason = os.strerror(error.errno)
    return Conflict(f"Cannot listen on {host}:{port} ({reason}); choose another port: --port 0 takes any free one.")


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def address_of(listener: socket.socket, settings: Settings) -> str:
    """Write the address of a listening socket as a URL."""
    host, port, *_ = listener.getsockname()
    scheme = "http" if settings.tls_cert is None else "https"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def check_certificate(settings: Settings) -> None:
    """Check that the certificate and its key can be used, before anything is opened.

    Raises:
        InvalidInput: they cannot.
    """
    if settings.tls_cert is None and settings.tls_key is None:
        return
    if settings.tls_cert is None:
        raise InvalidInput("A key without a certificate: give both --tls-cert and --tls-key.")
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        # an empty password: a key with one is refused, where it would be asked for on a terminal that is not there
        context.load_cert_chain(settings.tls_cert, settings.tls_key, password="")
    except OSError as error:  # that of SSL is one
        reason = error.strerror or str(error) or type(error).__name__
        raise InvalidInput(
            f"The certificate {settings.tls_cert} and its key cannot be used: {reason}. --tls-cert takes a PEM file "
            "with the chain, --tls-key its key without a password."
        ) from None
