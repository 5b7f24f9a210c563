"""Use case: make, list and revoke tokens."""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta

from foldstep.service.contract.errors import Conflict, InvalidInput, NotFound
from foldstep.service.contract.tokens import PREFIX, Scope, TokenCreated, TokenRequest, TokenView
from foldstep.service.db import tokens
from foldstep.service.db.tokens import TokenKind, TokenRow, digest
from foldstep.service.flow.context import Context

MAX_TOKENS = 1000


def create(context: Context, request: TokenRequest) -> TokenCreated:
    """Make a token; its secret is in this answer alone.

    Raises:
        Conflict: there are too many.
        InvalidInput: its end is further away than a calendar goes.
    """
    secret, now = PREFIX + secrets.token_urlsafe(32), context.now()
    row = TokenRow(
        id=secrets.token_hex(4),
        kind=TokenKind.TOKEN,
        name=request.name,
        hash=digest(secret),
        scopes=sorted(request.scopes),
        maker="",
        created_at=now,
        expires_at=None if request.expires_in is None else _end(now, request.expires_in),
    )
    with context.database.write() as connection:
        tokens.remove_expired(connection, now)
        if tokens.n_tokens(connection) >= MAX_TOKENS:
            raise Conflict(f"There are {MAX_TOKENS} tokens already; revoke some that nobody needs any more.")
        tokens.add(connection, row)
    return TokenCreated(**_view(row).model_dump(), token=secret)


def _end(now: datetime, seconds: float) -> datetime:
    try:
        return now + timedelta(seconds=seconds)
    except OverflowError:
        raise InvalidInput("The token would be valid for longer than a calendar goes; leave expires_in out.") from None


def all_tokens(context: Context) -> list[TokenView]:
    """List the tokens that are valid, the oldest first."""
    with context.database.read() as connection:
        found = tokens.all_tokens(connection)
    return [_view(row) for row in found if row.expires_at is None or row.expires_at > context.now()]


def revoke(context: Context, token_id: str) -> None:
    """Delete a token; what it opened ends with it.

    Raises:
        NotFound: no token has that id.
    """
    with context.database.write() as connection:
        if not tokens.remove(connection, token_id):
            raise NotFound(f"There is no token {token_id}; `foldstep tokens list` shows those that there are.")


def _view(row: TokenRow) -> TokenView:
    scopes = [Scope(name) for name in row.scopes]
    return TokenView(id=row.id, name=row.name, scopes=scopes, created_at=row.created_at, expires_at=row.expires_at)
