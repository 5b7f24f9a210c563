"""Which scope a call needs, by its method and path; a call that no line names needs the most."""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import lru_cache
from typing import NamedTuple

from foldstep.service.contract.errors import Forbidden
from foldstep.service.contract.tokens import Scope

_READING = "GET|HEAD"
_BASE = "/api/v1"


class _Rule(NamedTuple):
    """The scopes of which one is enough for calls whose method and path match."""

    methods: re.Pattern[str]
    path: re.Pattern[str]
    scopes: frozenset[Scope]


def _rule(methods: str, path: str, *scopes: Scope) -> _Rule:
    return _Rule(re.compile(methods), re.compile(path, re.DOTALL), frozenset({*scopes, Scope.ADMIN}))


_RULES = (
    _rule(".*", rf"{_BASE}/tokens(/.*)?"),
    _rule(".*", rf"{_BASE}/(session|session-links)", Scope.READ, Scope.SUBMIT, Scope.WORKER),
    _rule(".*", rf"{_BASE}/leases(/.*)?", Scope.WORKER),
    _rule("POST", rf"{_BASE}/workers(/.*|:.*)?", Scope.WORKER),
    _rule(_READING, rf"{_BASE}/datasets/[^/]+/file", Scope.WORKER, Scope.READ, Scope.SUBMIT),
    _rule(_READING, rf"{_BASE}/.*|/metrics", Scope.READ, Scope.SUBMIT),
    _rule(_READING, r"/openapi\.json", Scope.READ, Scope.SUBMIT, Scope.WORKER),
    _rule("POST", rf"{_BASE}/(searches:validate|searches/[^/]+/predict)", Scope.READ, Scope.SUBMIT),
    _rule(".*", rf"{_BASE}/(searches|datasets|files)([/:].*)?", Scope.SUBMIT),
    _rule(".*", ".*"),
)
"""The first rule that matches a call decides."""


@lru_cache(4096)
def scopes_for(method: str, path: str) -> frozenset[Scope]:
    """Find the scopes of which one is enough for a call."""
    return next(rule.scopes for rule in _RULES if rule.methods.fullmatch(method) and rule.path.fullmatch(path))


def check_scopes(method: str, path: str, held: Collection[Scope]) -> None:
    """Refuse a call that none of the scopes allows.

    Raises:
        Forbidden: it needs another scope.
    """
    needed = scopes_for(method, path)
    if needed.isdisjoint(held):
        names = " or ".join(scope.value for scope in Scope if scope in needed)
        raise Forbidden(f"This call needs a token with the scope {names}; yours has {', '.join(sorted(held))}.")
