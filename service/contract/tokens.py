"""Scopes: what a token allows."""

from __future__ import annotations

from enum import StrEnum


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
