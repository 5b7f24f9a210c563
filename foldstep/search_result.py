"""What `foldstep.search` gives: a leaderboard, curves, and the ensemble that predicts."""

from __future__ import annotations

import os
import weakref
from contextlib import ExitStack, suppress
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from foldstep.client import Foldstep
from foldstep.estimator_search import Found
from foldstep.loaded import Model, model_of
from foldstep.result_frames import leaderboard_frame
from foldstep.service.contract.ensemble import Ensemble
from foldstep.service.contract.errors import Conflict, Unavailable
from foldstep.service.contract.final import Final
from foldstep.service.contract.insight import ImportanceReport
from foldstep.service.contract.leaderboard import SearchView, TrialView
from foldstep.service.contract.numbers import score
from foldstep.service.contract.states import SearchState
from foldstep.service.contract.winner import Winner
from foldstep.whole_file import whole_file

if TYPE_CHECKING:
    import numpy.typing as npt


def _finalized(master: Foldstep, search: SearchView) -> Final:
    """Score the final model of a completed search on its test part, where it has one."""
    if search.state is SearchState.COMPLETED and (search.followers or master.final(search.id).has_test_part):
        with suppress(Conflict, Unavailable):  # `final` then says that the score is awaited
            master.finalize(search.id)
    return master.final(search.id)


class SearchResult:
    """What a search found.

    Curves and `importance` are asked of the master, until `close`; all else stays. `close` comes by itself where the
    result is not used any more, at the end of a `with` block, and at the end of the process.

    Attributes:
        search: the summary of the search at its end.
        winner: which trials cannot be told from the best one; None where nobody knows.
        ensemble: the trials that predict together, and what that brings; None where no predictions were kept.
        final: the final model with its score on the test part; what other seeds and outer folds say, see `Final`.

    Args:
        found: what was taken home.
        master: a client of the search's master.
        ends: what `close` ends.
    """

    def __init__(self, found: Found, master: Foldstep, ends: ExitStack) -> None:
        self.search: SearchView = found.search
        self.winner: Winner | None = master.winner(found.search.id)
        self.ensemble: Ensemble | None = master.ensemble(found.search.id)
        self.final: Final = _finalized(master, found.search)
        self._found, self._master = found, master
        self._ends = weakref.finalize(self, _end, os.getpid(), ends)

    def __repr__(self) -> str:
        metric, best = self.search.metric.name, self.search.best
        assert best is not None
        return (
            f"<SearchResult {self.id}: {len(self._found.trials)} trials, "
            f"best {metric} {score(best.score)} (trial {best.trial})>"
        )

    def __enter__(self) -> Self:
        """Use the result for a block, and close it at its end."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def close(self) -> None:
        """Let go of the master; a search without a `data_dir` is deleted there."""
        self._ends()

    @property
    def master(self) -> Foldstep:
        """The client of the search's master, for all that is not here.

        Raises:
            Unavailable: it was closed.
        """
        if not self._ends.alive:
            raise Unavailable("This result was closed: ask for curves and importance before that.")
        return self._master

    @property
    def id(self) -> str:
        """The id of the search."""
        return self.search.id

    @property
    def notes(self) -> list[str]:
        """What was chosen for the table, and found in it."""
        return list(self.search.notes)

    @property
    def leaderboard(self) -> Any:
        """All trials, the best first: a DataFrame of pandas, or of polars where there is no pandas."""
        return leaderboard_frame(self._found.trials)

    def trials(self) -> list[TrialView]:
        """List all trials, the best first, as records."""
        return list(self._found.trials)

    @property
    def best_params(self) -> dict[str, Any]:
        """The hyperparameters of the best trial."""
        return dict(self._found.trials[0].params)

    @property
    def best_score(self) -> float:
        """The score of the best trial, in the metric's own sign: a loss is a loss."""
        best = self.search.best
        assert best is not None
        assert best.score is not None
        return best.score

    def curves(self, *trials: int) -> Any:
        """Get the learning curves of some trials, by default of the best one: one row for each epoch of each fold.

        Raises:
            Unavailable: the result was closed.
        """
        return self.master.curves_frame(self.id, *(trials or (self._found.trials[0].trial,)))

    def importance(self) -> ImportanceReport:
        """Get how much each hyperparameter matters, alone and together with others, with advice for each.

        Raises:
            Unavailable: the result was closed.
        """
        return self.master.importance(self.id)

    @cached_property
    def model(self) -> Model:
        """The model, as `foldstep.load` gives it: the ensemble, or the best trial's networks."""
        return model_of(self._found.model)

    def predict(self, table: Any) -> npt.NDArray[Any]:
        """Predict classes or values of every row; see `Model.predict`."""
        return self.model.predict(table)

    def predict_proba(self, table: Any) -> npt.NDArray[Any]:
        """Predict the probability of each class, in the order of `model.classes_`; see `Model.predict_proba`."""
        return self.model.predict_proba(table)

    def save(self, path: str | PathLike[str]) -> None:
        """Write the model file, whole or not at all; `foldstep.load` and `foldstep predict` read it.

        Args:
            path: of the file; one that is there is replaced.

        Raises:
            InvalidInput: the file cannot be written.
        """
        with whole_file(Path(path)) as file:
            file.write(self._found.model)


def _end(process: int, ends: ExitStack) -> None:
    """End a search in the process that began it: one that was forked since has no part in it."""
    if os.getpid() == process:
        ends.close()
