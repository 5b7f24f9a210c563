"""Tokens, their scopes, and the sessions of the page."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Self

from pydantic import Field, model_validator

from foldstep.service.contract.fields import Duration
from foldstep.service.contract.space import Frozen

PREFIX = "foldstep_"
"""Every token of the table begins so: scanners of code find one that was checked in, and no other is looked up."""
MAX_CHARACTERS = 200
"""The longest token or code that is looked at."""


class Scope(StrEnum):
    """A kind of call that a token allows.

    Attributes:
        READ: look at searches, trials, data sets, metrics.
        SUBMIT: change searches and data sets; includes `READ`.
        WORKER: take trials, report on them and load their data; nothing else.
        ADMIN: everything, tokens too.
    """

    READ = "read"
    SUBMIT = "submit"
    WORKER = "worker"
    ADMIN = "admin"


class TokenRequest(Frozen):
    """The request to make a token (`POST /tokens`).

    Attributes:
        name: what lists call it.
        scopes: what it allows.
        expires_in: how long it is valid, as seconds or as 90s, 10m, 2h, 30d; None for no end.
    """

    name: str = Field(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._@-]*$")
    scopes: frozenset[Scope] = Field(min_length=1, json_schema_extra={"uniqueItems": False})
    expires_in: Duration | None = None


class TokenView(Frozen):
    """A token without its secret, of which the master keeps a digest alone.

    Attributes:
        id: names it in lists and when it is revoked.
        expires_at: its end; None for none.
    """

    id: str
    name: str
    scopes: list[Scope]
    created_at: datetime
    expires_at: datetime | None


class TokenCreated(TokenView):
    """A new token: the only answer that has its secret.

    Attributes:
        token: what its holder shows.
    """

    token: str


class Link(Frozen):
    """A code that opens the page once, with the scopes of the token that asked for it.

    Attributes:
        code: for the address `/#login=CODE` of the page.
    """

    code: str
    expires_at: datetime


class SignIn(Frozen):
    """The request for a session of the page (`POST /session`): a code, or a token, and not both."""

    code: str | None = Field(default=None, max_length=MAX_CHARACTERS)
    token: str | None = Field(default=None, max_length=MAX_CHARACTERS)

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.code is None) == (self.token is None):
            raise ValueError("a code or a token, and not both")
        return self


class SessionView(Frozen):
    """What the session or token of a call allows."""

    scopes: list[Scope]
