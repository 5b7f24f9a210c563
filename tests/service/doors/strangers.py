"""What somebody can do who has a socket and nothing else."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

WAIT_S = 60


def connected(url: str) -> socket.socket:
    """Open a connection to a master."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    return socket.create_connection((parts.hostname, parts.port or 80), timeout=WAIT_S)


def head(method: str, path: str, **headers: str) -> bytes:
    """Write the head of a request; `_` in the name of a header stands for `-`."""
    lines = [f"{method} {path} HTTP/1.1", "Host: master", *(f"{n.replace('_', '-')}: {v}" for n, v in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode()


def told(connection: socket.socket) -> bytes:
    """Read until the other side closes the connection."""
    pieces = []
    try:
        while piece := connection.recv(1 << 16):
            pieces.append(piece)
    except ConnectionResetError:
        pass
    return b"".join(pieces)


def status(answer: bytes) -> int:
    """Find the status of an answer; 0 for none."""
    return int(answer.split(b" ", 2)[1]) if answer else 0
