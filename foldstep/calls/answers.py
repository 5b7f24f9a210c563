"""Calls of the client: what a search answers with."""

from __future__ import annotations

from pydantic import TypeAdapter

from foldstep.calls.base import Calls
from foldstep.service.contract.connection import READING_DATA
from foldstep.service.contract.ensemble import Ensemble, TrialPredictions
from foldstep.service.contract.final import Final, FinalModel
from foldstep.service.contract.winner import Winner

_ENSEMBLE: TypeAdapter[Ensemble | None] = TypeAdapter(Ensemble | None)
_WINNER: TypeAdapter[Winner | None] = TypeAdapter(Winner | None)


class AnswerCalls(Calls):
    """What a search answers with."""

    def ensemble(self, search: str) -> Ensemble | None:
        """Get the trials that predict together, and what that brings; None before the first score."""
        return _ENSEMBLE.validate_json(self._get(f"/searches/{search}/ensemble"))

    def winner(self, search: str) -> Winner | None:
        """Get which trials cannot be told from the best one, and which is the simplest; None before the first score."""
        return _WINNER.validate_json(self._get(f"/searches/{search}/winner"))

    def finalize(self, search: str) -> FinalModel:
        """Make the final model of a search that is over, and score it once on its test part; again, the same answer.

        Raises:
            Conflict: the search goes on, or has no scored trial.
        """
        answer = self.connection.request("POST", f"/searches/{search}:finalize", timeout=READING_DATA)
        return FinalModel.model_validate_json(answer.content)

    def final(self, search: str) -> Final:
        """Get the final model of a search, if it has one, and whether a test part still waits for its score."""
        return Final.model_validate_json(self._get(f"/searches/{search}/final"))

    def predictions(self, search: str, number: int) -> TrialPredictions:
        """Get what one trial's networks say of the rows that they were not trained on.

        Raises:
            Conflict: the trial's predictions were not kept.
        """
        return TrialPredictions.model_validate_json(self._get(f"/searches/{search}/trials/{number}/predictions"))
