"""The Python client: everything a user can do over REST, one method a call.

from foldstep import Foldstep
master = Foldstep("http://127.0.0.1:8765", token="…")
search = master.submit({"name": "digits", "data": {"dataset": "digits"}, …})
master.wait(search.id)
for row in master.leaderboard(search.id).rows: …
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from foldstep.service.contract.connection import Connection
from foldstep.service.contract.dataset import Dataset
from foldstep.service.contract.insight import Comparison, ImportanceReport
from foldstep.service.contract.leaderboard import (
    Leaderboard,
    OrderBy,
    SearchView,
    TrialCurves,
    TrialDiagnostics,
    TrialView,
    WorkerView,
)
from foldstep.service.contract.lease import Work
from foldstep.service.contract.states import TERMINAL_SEARCH
from foldstep.service.contract.submit import Validated

_SEARCHES = TypeAdapter(list[SearchView])
_DATASETS = TypeAdapter(list[Dataset])
_WORKERS = TypeAdapter(list[WorkerView])


class Foldstep:
    """One master, as users see it.

    Attributes:
        connection: how it is spoken to.

    Args:
        url: address of the master.
        token: the master's token.
        patience_s: how long to go on trying while the master is not there.
    """

    def __init__(self, url: str, token: str, *, patience_s: float = 0.0) -> None:
        self.connection = Connection(url, token, patience_s=patience_s)
        self.url = self.connection.url

    def submit(self, spec: dict[str, Any]) -> SearchView:
        """Submit a search.

        Raises:
            SpecInvalid: with every fault of the spec.
        """
        return SearchView.model_validate_json(self._post_spec("/searches", spec))

    def validate(self, spec: dict[str, Any]) -> Validated:
        """Check a spec against its data, without submitting it.

        Raises:
            SpecInvalid: with every fault of the spec.
        """
        return Validated.model_validate_json(self._post_spec("/searches:validate", spec))

    def searches(self) -> list[SearchView]:
        """All searches, the newest first."""
        return _SEARCHES.validate_json(self._get("/searches"))

    def search(self, search: str) -> SearchView:
        """One search at a glance."""
        return SearchView.model_validate_json(self._get(f"/searches/{search}"))

    def spec(self, search: str) -> dict[str, Any]:
        """The spec as it was submitted."""
        spec: dict[str, Any] = self.connection.request("GET", f"/searches/{search}/spec").json()
        return spec

    def leaderboard(
        self, search: str, *, limit: int = 20, cursor: str | None = None, order_by: OrderBy = "score"
    ) -> Leaderboard:
        """A page of the ranking."""
        params = {"limit": limit, "order_by": order_by} | ({"cursor": cursor} if cursor else {})
        return Leaderboard.model_validate_json(self._get(f"/searches/{search}/leaderboard", **params))

    def all_trials(self, search: str, *, order_by: OrderBy = "score") -> list[TrialView]:
        """The whole ranking, page after page."""
        page = self.leaderboard(search, limit=500, order_by=order_by)
        rows = list(page.rows)
        while page.cursor:
            page = self.leaderboard(search, limit=500, order_by=order_by, cursor=page.cursor)
            rows += page.rows
        return rows

    def trial(self, search: str, number: int) -> TrialView:
        """One trial."""
        return TrialView.model_validate_json(self._get(f"/searches/{search}/trials/{number}"))

    def work(self, search: str, number: int) -> Work:
        """Get what it takes to train one trial again: the problem of its search, and the trial as it would be leased.

        Raises:
            Conflict: it was not trained to its end, so there is nothing to train again.
        """
        return Work.model_validate_json(self._get(f"/searches/{search}/work/{number}"))

    def curves(self, search: str, number: int) -> TrialCurves:
        """The learning curves of one trial, by fold."""
        return TrialCurves.model_validate_json(self._get(f"/searches/{search}/trials/{number}/curves"))

    def diagnostics(self, search: str, number: int) -> TrialDiagnostics:
        """What was seen of one trial while it trained, and what follows from it."""
        return TrialDiagnostics.model_validate_json(self._get(f"/searches/{search}/trials/{number}/diagnostics"))

    def importance(self, search: str) -> ImportanceReport:
        """Which hyperparameters matter, alone and together, and what follows for each."""
        return ImportanceReport.model_validate_json(self._get(f"/searches/{search}/importance"))

    def compare(self, search: str, by: str) -> Comparison:
        """The choices of one hyperparameter, each with everything else as good as its trials made it."""
        return Comparison.model_validate_json(self._get(f"/searches/{search}/compare", by=by))

    def pause(self, search: str) -> SearchView:
        """Lease nothing new; what is in training goes on to its end."""
        return self._event(search, "pause")

    def resume(self, search: str) -> SearchView:
        """Go on with a paused search."""
        return self._event(search, "resume")

    def stop(self, search: str) -> SearchView:
        """End a search; what it has stays."""
        return self._event(search, "stop")

    def extend(self, search: str, *, trials: int | None = None, time: float | str | None = None) -> SearchView:
        """Give a search more trials or more time (seconds, or 90s, 10m, 2h); one that is completed goes on."""
        more = {"trials": trials, "time": time}
        answer = self.connection.request("POST", f"/searches/{search}:extend", json=more)
        return SearchView.model_validate_json(answer.content)

    def delete(self, search: str) -> None:
        """Delete a search with its trials and checkpoints."""
        self.connection.request("DELETE", f"/searches/{search}")

    def wait(
        self, search: str, *, poll_s: float = 0.5, on_look: Callable[[SearchView], object] | None = None
    ) -> SearchView:
        """Wait until a search has ended.

        Args:
            search: its id.
            poll_s: seconds between looks.
            on_look: called with the search at every look.
        """
        while True:
            view = self.search(search)
            if on_look is not None:
                on_look(view)
            if view.state in TERMINAL_SEARCH:
                return view
            time.sleep(poll_s)

    def datasets(self) -> list[Dataset]:
        """Every registered data set, by name."""
        return _DATASETS.validate_json(self._get("/datasets"))

    def upload_dataset(self, name: str, path: Path) -> Dataset:
        """Register a local file under a name; its content goes to the master."""
        with path.open("rb") as file:
            answer = self.connection.request(
                "POST", "/datasets:upload", data={"name": name}, files={"file": (path.name, file)}
            )
        return Dataset.model_validate_json(answer.content)

    def register_dataset(self, name: str, source: str) -> Dataset:
        """Register a file that the master can read, or one of scikit-learn's sets, under a name."""
        answer = self.connection.request("POST", "/datasets", json={"name": name, "source": source})
        return Dataset.model_validate_json(answer.content)

    def workers(self) -> list[WorkerView]:
        """Every worker that the master has seen."""
        return _WORKERS.validate_json(self._get("/workers"))

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()

    def _post_spec(self, path: str, spec: dict[str, Any]) -> bytes:
        # NaN, infinities and dates go along as they are: it is for the master to name the fault and its path
        text = json.dumps(spec, default=str)
        return self.connection.request("POST", path, content=text, headers={"Content-Type": "application/json"}).content

    def _get(self, path: str, **params: Any) -> bytes:
        return self.connection.request("GET", path, params=params).content

    def _event(self, search: str, event: str) -> SearchView:
        return SearchView.model_validate_json(self.connection.request("POST", f"/searches/{search}:{event}").content)
