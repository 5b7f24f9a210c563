"""Calls of the client: trials of a search, and what its hyperparameters matter."""

from __future__ import annotations

from foldstep.calls.base import Calls
from foldstep.service.contract.insight import Comparison, ImportanceReport
from foldstep.service.contract.leaderboard import Leaderboard, OrderBy, TrialCurves, TrialDiagnostics, TrialView
from foldstep.service.contract.lease import Work


class TrialCalls(Calls):
    """Trials of a search, and what its hyperparameters matter."""

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

    def importance(self, search: str) -> ImportanceReport:
        """Get how much each hyperparameter matters, alone and together with others, with advice for each."""
        return ImportanceReport.model_validate_json(self._get(f"/searches/{search}/importance"))

    def compare(self, search: str, by: str) -> Comparison:
        """Compare the choices of one hyperparameter, each by its best trials over all other hyperparameters."""
        return Comparison.model_validate_json(self._get(f"/searches/{search}/compare", by=by))
