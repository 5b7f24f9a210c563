"""Who calls: the holder of the master's token."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass

from foldstep.service.contract.tokens import Scope


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


def digest(token: str) -> str:
    """Compute the SHA-256 under which a token is stored; a database that leaks gives no token away."""
    return hashlib.sha256(token.encode()).hexdigest()


class Door:
    """Tells who a call comes from.

    Args:
        token: the master's own.
    """

    def __init__(self, token: str) -> None:
        self._digest = digest(token)

    def by_token(self, given: str) -> Caller | None:
        """Find who holds a token, in a time that does not depend on where it differs; None for a wrong one."""
        is_masters = hmac.compare_digest(digest(given), self._digest)
        return Caller("", frozenset({Scope.ADMIN})) if is_masters else None
