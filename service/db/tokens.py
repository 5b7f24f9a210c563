"""The rows of `tokens`: tokens and one-time links, each under the digest of its secret."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import ColumnElement, Connection, delete, func, insert, select

from foldstep.service.db.tables import tokens


class TokenKind(StrEnum):
    """What a row of `tokens` is for."""

    TOKEN = "token"
    LINK = "link"


@dataclass(frozen=True)
class TokenRow:
    """A token as it is stored.

    Attributes:
        maker: id of the token that asked for a link; empty for the master's own.
        expires_at: its end; None for none.
    """

    id: str
    kind: str
    name: str
    hash: str
    scopes: list[str]
    maker: str
    created_at: datetime
    expires_at: datetime | None


_COLUMNS = [tokens.c[n] for n in TokenRow.__dataclass_fields__]


def digest(secret: str) -> str:
    """Compute the SHA-256 under which a secret is stored: a database that leaks gives none away."""
    return hashlib.sha256(secret.encode(errors="replace")).hexdigest()


def add(connection: Connection, row: TokenRow) -> None:
    """Insert a token or link."""
    connection.execute(insert(tokens).values({n: getattr(row, n) for n in TokenRow.__dataclass_fields__}))


def all_tokens(connection: Connection) -> Sequence[TokenRow]:
    """List the tokens, the oldest first."""
    statement = select(*_COLUMNS).where(_is(TokenKind.TOKEN)).order_by(tokens.c.created_at, tokens.c.id)
    return [TokenRow(**row._asdict()) for row in connection.execute(statement)]


def n_tokens(connection: Connection) -> int:
    """Count the tokens."""
    return connection.execute(select(func.count()).where(_is(TokenKind.TOKEN))).scalar_one()


def remove(connection: Connection, token_id: str) -> bool:
    """Delete a token and the links that it asked for; tell whether there was one."""
    connection.execute(delete(tokens).where(_is(TokenKind.LINK), tokens.c.maker == token_id))
    return bool(connection.execute(delete(tokens).where(_is(TokenKind.TOKEN), tokens.c.id == token_id)).rowcount)


def take_link(connection: Connection, code: str, now: datetime) -> str | None:
    """Delete a link that is still valid, and return who asked for it; None where there is none: it is used once."""
    statement = (
        delete(tokens)
        .where(_is(TokenKind.LINK), tokens.c.hash == digest(code), tokens.c.expires_at > now)
        .returning(tokens.c.maker)
    )
    return connection.execute(statement).scalar_one_or_none()


def remove_expired(connection: Connection, now: datetime) -> None:
    """Delete the links and tokens whose time is up."""
    connection.execute(delete(tokens).where(tokens.c.expires_at <= now))


def _is(kind: TokenKind) -> ColumnElement[bool]:
    return tokens.c.kind == kind
