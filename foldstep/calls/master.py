"""Calls of the client: the workers and the tokens of a master."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import quote

from pydantic import TypeAdapter

from foldstep.calls.base import Calls
from foldstep.service.contract.leaderboard import WorkerView
from foldstep.service.contract.tokens import Link, Scope, TokenCreated, TokenView

_WORKERS = TypeAdapter(list[WorkerView])
_TOKENS = TypeAdapter(list[TokenView])


class MasterCalls(Calls):
    """The workers and the tokens of a master."""

    def workers(self) -> list[WorkerView]:
        """List every worker that has registered with the master."""
        return self._all("/workers", _WORKERS)

    def tokens(self) -> list[TokenView]:
        """List the tokens that are valid; the master's own is not among them."""
        return _TOKENS.validate_json(self._get("/tokens"))

    def create_token(
        self, name: str, scopes: Iterable[Scope | str], *, expires_in: float | str | None = None
    ) -> TokenCreated:
        """Make a token; its secret is in this answer alone.

        Args:
            name: what lists call it.
            scopes: what it allows: read, submit, worker, admin.
            expires_in: how long it is valid (seconds, or 90s, 10m, 2h, 30d); None for no end.
        """
        sent = {"name": name, "scopes": [str(scope) for scope in scopes], "expires_in": expires_in}
        return TokenCreated.model_validate_json(self.connection.request("POST", "/tokens", json=sent).content)

    def revoke_token(self, token_id: str) -> None:
        """Revoke a token; `tokens` has its id."""
        self.connection.request("DELETE", f"/tokens/{quote(token_id, safe='')}")

    def page_link(self, search: str | None = None) -> str:
        """Make a link that opens the page once, within an hour, with the scopes of this client's token."""
        link = Link.model_validate_json(self.connection.request("POST", "/session-links").content)
        return f"{self.url}/#login={link.code}" + (f"&search={quote(search, safe='')}" if search else "")
