"""The Python client: one method for each REST call that a user can make.

from foldstep import Foldstep
master = Foldstep("http://127.0.0.1:8765", token="…")
search = master.submit({"name": "digits", "data": {"dataset": "digits"}, …})
master.wait(search.id)
for row in master.leaderboard(search.id).rows: …
"""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar
from urllib.parse import quote

from httpx import URL
from pydantic import BaseModel, TypeAdapter

from foldstep.file_body import FileBody
from foldstep.service.contract.connection import READING_DATA, Connection
from foldstep.service.contract.dataset import DataReport, Dataset, Replaced
from foldstep.service.contract.ensemble import Ensemble, TrialPredictions
from foldstep.service.contract.errors import NotFound
from foldstep.service.contract.footprint import Footprint
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
from foldstep.service.contract.reading import AS_FOUND, ReadingOptions
from foldstep.service.contract.states import TERMINAL_SEARCH
from foldstep.service.contract.submit import DatasetRegistration, DatasetSource, Validated
from foldstep.service.contract.tokens import Link, Scope, TokenCreated, TokenView
from foldstep.service.contract.winner import Winner

_SEARCHES = TypeAdapter(list[SearchView])
_ENSEMBLE: TypeAdapter[Ensemble | None] = TypeAdapter(Ensemble | None)
_WINNER: TypeAdapter[Winner | None] = TypeAdapter(Winner | None)
_DATASETS = TypeAdapter(list[Dataset])
_WORKERS = TypeAdapter(list[WorkerView])
_TOKENS = TypeAdapter(list[TokenView])
_ROWS_OF_A_PAGE = 500
R = TypeVar("R")
_NO_HEADERS: Mapping[str, str] = MappingProxyType({})


def _once() -> dict[str, str]:
    """Make the header by which the master knows a repeated request."""
    return {"Idempotency-Key": secrets.token_hex(16)}


class Foldstep:
    """A client of one master.

    A search is named by its id, by its name where one search alone has it, or by the beginning of its id where no other
    id begins so.

    Attributes:
        connection: the HTTP connection to the master.

    Args:
        url: address of the master.
        token: the master's token.
        patience_s: seconds for which a request is retried while the master cannot be reached.
    """

    def __init__(self, url: str, token: str, *, patience_s: float = 0.0) -> None:
        self.connection = Connection(url, token, patience_s=patience_s)
        self.url = self.connection.url

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

    def leaderboard(
        self, search: str, *, limit: int = 20, cursor: str | None = None, order_by: OrderBy = "score"
    ) -> Leaderboard:
        """Get one page of the ranking."""
        params = {"limit": limit, "order_by": order_by} | ({"cursor": cursor} if cursor else {})
        return Leaderboard.model_validate_json(self._get(f"/searches/{search}/leaderboard", **params))

    def all_trials(self, search: str, *, order_by: OrderBy = "score") -> list[TrialView]:
        """Collect the whole ranking, page by page."""
        page = self.leaderboard(search, limit=500, order_by=order_by)
        rows = list(page.rows)
        while page.cursor:
            page = self.leaderboard(search, limit=500, order_by=order_by, cursor=page.cursor)
            rows += page.rows
        return rows

    def trial(self, search: str, number: int) -> TrialView:
        """Get one trial by its number."""
        return TrialView.model_validate_json(self._get(f"/searches/{search}/trials/{number}"))

    def checkpoint(self, search: str, name: str) -> bytes:
        """Download a checkpoint; `TrialView.checkpoints` has the names."""
        return self.connection.request("GET", f"/searches/{search}/checkpoints/{name}").content

    def work(self, search: str, number: int) -> Work:
        """Get what is needed to train one trial again: the problem of its search, and the trial as it would be leased.

        Raises:
            Conflict: the trial was not trained to its end, so its training cannot be repeated.
        """
        return Work.model_validate_json(self._get(f"/searches/{search}/work/{number}"))

    def curves(self, search: str, number: int) -> TrialCurves:
        """Get the learning curves of one trial, by fold."""
        return TrialCurves.model_validate_json(self._get(f"/searches/{search}/trials/{number}/curves"))

    def diagnostics(self, search: str, number: int) -> TrialDiagnostics:
        """Get the measurements taken while one trial trained, and the diagnoses drawn from them."""
        return TrialDiagnostics.model_validate_json(self._get(f"/searches/{search}/trials/{number}/diagnostics"))

    def ensemble(self, search: str) -> Ensemble | None:
        """Get the trials that predict together, and what that brings; None before the first score."""
        return _ENSEMBLE.validate_json(self._get(f"/searches/{search}/ensemble"))

    def winner(self, search: str) -> Winner | None:
        """Get which trials cannot be told from the best one, and which is the simplest; None before the first score."""
        return _WINNER.validate_json(self._get(f"/searches/{search}/winner"))

    def predictions(self, search: str, number: int) -> TrialPredictions:
        """Get what one trial's networks say of the rows that they were not trained on.

        Raises:
            Conflict: the trial's predictions were not kept.
        """
        return TrialPredictions.model_validate_json(self._get(f"/searches/{search}/trials/{number}/predictions"))

    def importance(self, search: str) -> ImportanceReport:
        """Get how much each hyperparameter matters, alone and together with others, with advice for each."""
        return ImportanceReport.model_validate_json(self._get(f"/searches/{search}/importance"))

    def compare(self, search: str, by: str) -> Comparison:
        """Compare the choices of one hyperparameter, each by its best trials over all other hyperparameters."""
        return Comparison.model_validate_json(self._get(f"/searches/{search}/compare", by=by))

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

    def datasets(self) -> list[Dataset]:
        """List the registered data sets, by name."""
        return self._all("/datasets", _DATASETS)

    def dataset(self, name: str) -> Dataset:
        """Get one data set."""
        return Dataset.model_validate_json(self._get(f"/datasets/{quote(name, safe='')}"))

    def data_report(self, name: str, *targets: str) -> DataReport:
        """Get the report on a data set before anything trains, and on some of its columns as targets."""
        path = f"/datasets/{quote(name, safe='')}/report"
        answer = self.connection.request("GET", path, params={"target": targets}, timeout=READING_DATA)
        return DataReport.model_validate_json(answer.content)

    def has_file(self, sha256: str) -> bool:
        """Tell whether a file was uploaded; it is named by the SHA-256 of its bytes, as hexadecimal digits."""
        try:
            self.connection.request("GET", f"/files/{sha256}")
        except NotFound:
            return False
        return True

    def upload_file(self, path: Path, *, on_progress: Callable[[int, int], object] | None = None) -> str:
        """Upload a local file, unless the master has it, and return its SHA-256.

        Args:
            path: of the file on this machine.
            on_progress: called with the bytes sent so far and the file's size in bytes, where something is sent.

        Raises:
            InvalidInput: the file changed while it was sent.
            TooLarge: it is larger than the master takes.
        """
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        if not self.has_file(sha256):
            content = FileBody(path, on_progress)
            headers = {"Content-Length": str(content.size)}
            self.connection.request("PUT", f"/files/{sha256}", content=content, headers=headers, timeout=READING_DATA)
        return sha256

    def search_data(self, search: str) -> DataReport:
        """Get the report on the data that a search trains on."""
        return DataReport.model_validate_json(self._get(f"/searches/{search}/data"))

    def upload_dataset(
        self,
        name: str,
        path: Path,
        *,
        options: ReadingOptions = AS_FOUND,
        on_progress: Callable[[int, int], object] | None = None,
    ) -> Dataset:
        """Register a local file under a name; its content is uploaded, unless the master has it.

        Args:
            name: what specs call it.
            path: of the file on this machine.
            options: how it is read.
            on_progress: as for `upload_file`.

        Raises:
            NameTaken: the name stands for other data; see `replace_dataset`.
        """
        sha256 = self.upload_file(path, on_progress=on_progress)
        return self.register_dataset(name, path.name, file=sha256, options=options)

    def register_dataset(
        self, name: str, source: str, *, file: str | None = None, options: ReadingOptions = AS_FOUND
    ) -> Dataset:
        """Register a file that the master can read, one of scikit-learn's sets, or an uploaded file, under a name.

        Args:
            name: what specs call it.
            source: path of the file on the master, or name of the set; what an uploaded file is called.
            file: SHA-256 of an uploaded file.
            options: how it is read.

        Raises:
            NameTaken: the name stands for other data; see `replace_dataset`.
        """
        sent = DatasetRegistration(name=name, source=source, file=file, options=options)
        return Dataset.model_validate_json(self._post_record("/datasets", sent))

    def replace_dataset(
        self,
        name: str,
        path: Path,
        *,
        options: ReadingOptions = AS_FOUND,
        on_progress: Callable[[int, int], object] | None = None,
    ) -> Replaced:
        """Let a name stand for the data of a local file; searches that have begun keep theirs.

        Raises:
            NotFound: no data set has that name.
        """
        self.dataset(name)  # before anything is sent
        sha256 = self.upload_file(path, on_progress=on_progress)
        sent = DatasetSource(source=path.name, file=sha256, options=options)
        return Replaced.model_validate_json(self._post_record(f"/datasets/{quote(name, safe='')}:replace", sent))

    def delete_dataset(self, name: str) -> None:
        """Forget a data set; searches that have begun keep theirs."""
        self.connection.request("DELETE", f"/datasets/{quote(name, safe='')}")

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

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()

    def _post_spec(self, path: str, spec: dict[str, Any], headers: Mapping[str, str] = _NO_HEADERS) -> bytes:
        # NaN, infinities and dates are sent as they are: the master names the fault and its path
        text = json.dumps(spec, default=str)
        return self._post_json(path, text, headers)

    def _post_record(self, path: str, record: BaseModel) -> bytes:
        return self._post_json(path, record.model_dump_json())

    def _post_json(self, path: str, text: str, headers: Mapping[str, str] = _NO_HEADERS) -> bytes:
        """Send JSON for which the master reads data."""
        headers = {"Content-Type": "application/json", **headers}
        return self.connection.request("POST", path, content=text, headers=headers, timeout=READING_DATA).content

    def _get(self, path: str, **params: Any) -> bytes:
        return self.connection.request("GET", path, params=params).content

    def _all(self, path: str, rows: TypeAdapter[list[R]]) -> list[R]:
        """Collect a list, page by page; each answer names the next page in its `Link` header."""
        found: list[R] = []
        cursor: str | None = None
        while True:
            params = {"limit": _ROWS_OF_A_PAGE} | ({"cursor": cursor} if cursor else {})
            answer = self.connection.request("GET", path, params=params)
            found += rows.validate_json(answer.content)
            following = answer.links.get("next")
            if following is None:
                return found
            cursor = URL(following["url"]).params["cursor"]

    def _event(self, search: str, event: str) -> SearchView:
        return SearchView.model_validate_json(self.connection.request("POST", f"/searches/{search}:{event}").content)
