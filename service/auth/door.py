"""Who calls: the holder of the master's token, of a token of the table, or of a session that one of them opened."""

from __future__ import annotations

import hashlib
import hmac
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from itsdangerous import BadSignature, URLSafeTimedSerializer

from foldstep.service.auth.attempts import WrongTokens
from foldstep.service.contract.tokens import MAX_CHARACTERS, Scope
from foldstep.service.db import tokens
from foldstep.service.db.engine import Database
from foldstep.service.db.tokens import TokenRow, digest

SESSION_S = 12 * 3600
FRESH_S = 2.0
"""Seconds after which a token that another master has revoked is known here."""
MISS_S = 0.2
"""Seconds between two readings of the table for tokens that are not in it; who shows one waits so long."""


@dataclass(frozen=True)
class Caller:
    """Who a call comes from.

    Attributes:
        token_id: id of the token; empty for the master's own.
        scopes: what it allows.
        is_session: whether a browser's cookie stood for the token.
    """

    token_id: str
    scopes: frozenset[Scope]
    is_session: bool = False


@dataclass(frozen=True)
class _Book:
    """The tokens of the table as they were read last."""

    by_hash: Mapping[str, TokenRow] = field(default_factory=dict)
    by_id: Mapping[str, TokenRow] = field(default_factory=dict)
    read_at: float = -1e9


class Door:
    """Tells who a call comes from; the table of tokens is small, and is kept in memory for two seconds.

    Attributes:
        wrong: the wrong tokens of each address.
        cookie: the cookie's name; cookies know no ports, so every master has its own.

    Args:
        token: the master's own.
        database: has the others.
        now: the clock for what expires.
        wrong: limits how many wrong tokens may be tried.
    """

    def __init__(self, token: str, database: Database, now: Callable[[], datetime], wrong: WrongTokens) -> None:
        self.wrong = wrong
        self._digest = digest(token)
        self._database, self._now = database, now
        key = hmac.digest(token.encode(), b"foldstep session", "sha256").hex()
        self.cookie = f"foldstep_{digest(key)[:8]}"
        signer = {"digest_method": hashlib.sha256, "key_derivation": "hmac"}
        self._sessions = URLSafeTimedSerializer(key, salt="session", signer_kwargs=signer)
        self._book, self._lock = _Book(), threading.Lock()

    def by_token(self, given: str) -> Caller | None:
        """Find who holds a token, in a time that does not depend on where it differs; None for a wrong one."""
        hashed = digest(given)
        if hmac.compare_digest(hashed, self._digest):
            return _MASTER
        row = self._book.by_hash.get(hashed)
        return self._holder(row) if row is not None and hmac.compare_digest(row.hash, hashed) else None

    def by_session(self, cookie: str) -> Caller | None:
        """Find whose token opened a session; None where the cookie is not ours, is too old, or the token is gone."""
        if len(cookie) > MAX_CHARACTERS:
            return None
        try:
            token_id = self._sessions.loads(cookie, max_age=SESSION_S)
        except BadSignature:
            return None
        found = self.by_id(str(token_id))
        return None if found is None else Caller(found.token_id, found.scopes, is_session=True)

    def by_id(self, token_id: str) -> Caller | None:
        """Find the holder of a token by the token's id."""
        if not token_id:
            return _MASTER
        row = self._book.by_id.get(token_id)
        return None if row is None else self._holder(row)

    def session(self, caller: Caller) -> str:
        """Write the cookie of a session."""
        return str(self._sessions.dumps(caller.token_id))

    @property
    def age_s(self) -> float:
        """How long ago the table was read, in seconds."""
        return time.monotonic() - self._book.read_at

    def read(self) -> None:
        """Read the table.

        Raises:
            Unavailable: the database cannot be reached.
        """
        with self._lock:
            began = time.monotonic()
            with self._database.read() as connection:
                rows = tokens.all_tokens(connection)
            self._book = _Book({row.hash: row for row in rows}, {row.id: row for row in rows}, began)

    def _holder(self, row: TokenRow) -> Caller | None:
        if row.expires_at is not None and row.expires_at <= self._now():
            return None
        return Caller(row.id, frozenset(Scope(name) for name in row.scopes))


_MASTER = Caller("", frozenset({Scope.ADMIN}))
