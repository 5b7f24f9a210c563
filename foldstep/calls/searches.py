"""Calls of the client: searches, from the spec to the end."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import TypeAdapter

from foldstep.calls.base import NO_HEADERS, Calls
from foldstep.service.contract.footprint import Footprint
from foldstep.service.contract.leaderboard import SearchView
from foldstep.service.contract.states import TERMINAL_SEARCH
from foldstep.service.contract.submit import Validated

_SEARCHES = TypeAdapter(list[SearchView])


def _once() -> dict[str, str]:
    """Make the header by which the master knows a repeated request."""
    return {"Idempotency-Key": secrets.token_hex(16)}


class SearchCalls(Calls):
    """Searches, from the spec to the end."""

    def submit(self, spec: dict[str, Any]) -> SearchView:
        """Submit a search; where an answer is lost the request is repeated, and it is still one search.

        Raises:
            SpecInvalid: with every fault of the spec.
        """
        return SearchView.model_validate_json(self._post_spec("/searches", spec, _once()))

    def validate(self, spec: dict[str, Any]) -> Validated:
        """Check a spec against its data, without submitting it.

        Raises:
            SpecInvalid: with every fault of the spec.
        """
        return Validated.model_validate_json(self._post_spec("/searches:validate", spec))

    def searches(self) -> list[SearchView]:
        """List all searches, the newest first."""
        return self._all("/searches", _SEARCHES)

    def search(self, search: str) -> SearchView:
        """Get one search: its state, counts and best trial."""
        return SearchView.model_validate_json(self._get(f"/searches/{search}"))

    def spec(self, search: str) -> dict[str, Any]:
        """Get the spec of a search as it was submitted."""
        spec: dict[str, Any] = self.connection.request("GET", f"/searches/{search}/spec").json()
        return spec

    def pause(self, search: str) -> SearchView:
        """Pause a search: no new trials are leased; those in training continue to their end."""
        return self._event(search, "pause")

    def resume(self, search: str) -> SearchView:
        """Resume a paused search."""
        return self._event(search, "resume")

    def stop(self, search: str) -> SearchView:
        """End a search; its results are kept."""
        return self._event(search, "stop")

    def extend(self, search: str, *, trials: int | None = None, time: float | str | None = None) -> SearchView:
        """Give a search more trials or more time (seconds, or 90s, 10m, 2h); a completed search continues."""
        more = {"trials": trials, "time": time}
        answer = self.connection.request("POST", f"/searches/{search}:extend", json=more, headers=_once())
        return SearchView.model_validate_json(answer.content)

    def footprint(self, search: str) -> Footprint:
        """Get how many trials, files and bytes the deletion of a search would remove."""
        return Footprint.model_validate_json(self._get(f"/searches/{search}/footprint"))

    def delete(self, search: str) -> Footprint:
        """Delete a search with its trials and files, and get how many of them there were."""
        return Footprint.model_validate_json(self.connection.request("DELETE", f"/searches/{search}").content)

    def next_follower(self, search: str) -> str | None:
        """Find the search that follows another (`final`, `cv.outer`), or one that does, and goes on; None for none."""
        for follower in self.search(search).followers.values():
            if follower is not None and self.search(follower).state not in TERMINAL_SEARCH:
                return follower
            further = None if follower is None else self.next_follower(follower)
            if further is not None:
                return further
        return None

    def wait(
        self, search: str, *, poll_s: float = 0.5, on_look: Callable[[SearchView], object] | None = None
    ) -> SearchView:
        """Wait until a search has ended.

        Args:
            search: its id.
            poll_s: seconds between two requests.
            on_look: called with the search after every request.
        """
        while True:
            view = self.search(search)
            if on_look is not None:
                on_look(view)
            if view.state in TERMINAL_SEARCH:
                return view
            time.sleep(poll_s)

    def _post_spec(self, path: str, spec: dict[str, Any], headers: Mapping[str, str] = NO_HEADERS) -> bytes:
        # NaN, infinities and dates are sent as they are: the master names the fault and its path
        text = json.dumps(spec, default=str)
        return self._post_json(path, text, headers)

    def _event(self, search: str, event: str) -> SearchView:
        return SearchView.model_validate_json(self.connection.request("POST", f"/searches/{search}:{event}").content)
