"""Calls of the client: trials of a search, and what its hyperparameters matter."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from foldstep.calls.base import Calls
from foldstep.result_frames import curves_frame, leaderboard_frame
from foldstep.service.contract.errors import InvalidInput
from foldstep.service.contract.insight import Comparison, ImportanceReport
from foldstep.service.contract.leaderboard import Leaderboard, OrderBy, TrialCurves, TrialDiagnostics, TrialView
from foldstep.service.contract.lease import Work
from foldstep.service.contract.submit import EnqueueReply
from foldstep.whole_file import folder_for, whole_file


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

    def trials_frame(self, search: str, *, order_by: OrderBy = "score") -> Any:
        """Collect all trials as a DataFrame of pandas, or of polars where there is no pandas: one row a trial.

        Args:
            search: its id or name.
            order_by: `score` for the best first, `number` for the order in which they were planned.
        """
        return leaderboard_frame(self.all_trials(search, order_by=order_by))

    def curves_frame(self, search: str, *numbers: int) -> Any:
        """Collect the learning curves of some trials as a DataFrame: one row for each epoch of each fold."""
        return curves_frame([self.curves(search, number) for number in numbers])

    def trial(self, search: str, number: int) -> TrialView:
        """Get one trial by its number."""
        return TrialView.model_validate_json(self._get(f"/searches/{search}/trials/{number}"))

    def checkpoint(self, search: str, name: str) -> bytes:
        """Download a checkpoint; `TrialView.checkpoints` has the names."""
        return self.connection.request("GET", f"/searches/{search}/checkpoints/{name}").content

    def download_checkpoints(self, search: str, folder: str | PathLike[str], *, trial: int | None = None) -> list[Path]:
        """Download the checkpoints that a search keeps, under their own names; files that are there are replaced.

        Args:
            search: its id or name.
            folder: where they go; made where it is missing.
            trial: the trial whose they are; None for those of all trials.

        Returns:
            The files, those of the best trial first.

        Raises:
            InvalidInput: none are kept, or the folder cannot be written to.
        """
        trials = self.all_trials(search) if trial is None else [self.trial(search, trial)]
        names = [name for one in trials for name in one.checkpoints]
        if not names:
            raise InvalidInput(_no_checkpoints(search, trial))
        into = folder_for(Path(folder))
        for name in names:
            content = self.checkpoint(search, name)
            with whole_file(into / name) as file:
                file.write(content)
        return [into / name for name in names]

    def enqueue(self, search: str, configurations: Iterable[Mapping[str, Any]]) -> EnqueueReply:
        """Let a search try configurations next; sent twice they are trained once.

        Args:
            search: its id or name.
            configurations: each a mapping of hyperparameters to values within the search's space.

        Raises:
            InvalidInput: one is no point of the space; `faults` has every reason.
            Conflict: the search has ended, or its budget has no room for so many.
        """
        text = json.dumps({"configurations": [dict(one) for one in configurations]}, default=str)
        return EnqueueReply.model_validate_json(self._post_json(f"/searches/{search}/trials", text))

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


def _no_checkpoints(search: str, trial: int | None) -> str:
    of = "" if trial is None else f" of trial {trial}"
    return f"The search {search} keeps no checkpoints{of}: which trials' are kept is said by `checkpoints` in its spec."
