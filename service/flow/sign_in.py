"""Use case: open the page by a link that works once."""

from __future__ import annotations

import secrets
from datetime import timedelta

from foldstep.service.contract.errors import Unauthorized
from foldstep.service.contract.tokens import Link
from foldstep.service.db import tokens
from foldstep.service.db.tokens import TokenKind, TokenRow, digest
from foldstep.service.flow.context import Context

LINK_S = 3600.0
"""Seconds for which a link works."""


def make_link(context: Context, token_id: str) -> Link:
    """Make a link for the holder of a token; an empty id is the master's own."""
    code, now = secrets.token_urlsafe(24), context.now()
    link = Link(code=code, expires_at=now + timedelta(seconds=LINK_S))
    row = TokenRow(
        id=secrets.token_hex(8),
        kind=TokenKind.LINK,
        name="",
        hash=digest(code),
        scopes=[],
        maker=token_id,
        created_at=now,
        expires_at=link.expires_at,
    )
    with context.database.write() as connection:
        tokens.remove_expired(connection, now)
        tokens.add(connection, row)
    return link


def use_link(context: Context, code: str) -> str:
    """Use a link up, and return the id of the token that asked for it.

    Raises:
        Unauthorized: there is no such link, or no longer.
    """
    with context.database.write() as connection:
        maker = tokens.take_link(connection, code, context.now())
    if maker is None:
        raise Unauthorized("This link was used before, or it is too old; `foldstep page` prints a new one.")
    return maker
