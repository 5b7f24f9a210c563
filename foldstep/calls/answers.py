"""Calls of the client: what a search answers with."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from foldstep.calls.base import Calls
from foldstep.service.contract.connection import READING_DATA
from foldstep.service.contract.ensemble import Ensemble, TrialPredictions
from foldstep.service.contract.errors import InvalidInput
from foldstep.service.contract.feature_report import FeatureReport
from foldstep.service.contract.final import Final, FinalModel
from foldstep.service.contract.prediction import Predicted
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

    def features(self, search: str) -> FeatureReport:
        """Get which columns matter to the networks that a search predicts with, and what they make of them."""
        path = f"/searches/{search}/features"
        return FeatureReport.model_validate_json(self.connection.request("GET", path, timeout=READING_DATA).content)

    def predict(  # noqa: PLR0913 - the options of `foldstep predict`
        self,
        search: str,
        rows: Any,
        *,
        proba: bool = False,
        weighted: bool = False,
        uncalibrated: bool = False,
        interval: float | None = None,
        ids: Sequence[str] = (),
        trial: int | None = None,
    ) -> Predicted:
        """Let the master predict rows by the ensemble of a search.

        Args:
            search: its id or name.
            rows: a list of dicts, one a row; a DataFrame of pandas or polars, an Arrow table, a dict of columns; or the
                path of a CSV or Parquet file.
            proba: class probabilities instead of classes.
            weighted: leave the probabilities as class weights in training have shifted them.
            uncalibrated: leave the probabilities without the ensemble's temperature.
            interval: share of the rows that intervals around values are to cover.
            ids: columns that are carried through as they are written.
            trial: the number of a trial that is to predict alone.

        Raises:
            InvalidInput: the rows, or what is asked of them, cannot be used.
            TooLarge: there are more rows or bytes than the master takes at once: send them in parts.
        """
        content, kind = _body(rows)
        asked = {"proba": proba, "weighted": weighted, "uncalibrated": uncalibrated, "interval": interval,
                 "id": list(ids), "trial": trial}  # fmt: skip
        params = {name: value for name, value in asked.items() if value is not None}
        answer = self.connection.request(
            "POST", f"/searches/{search}/predict", params=params, content=content, headers={"Content-Type": kind},
            timeout=READING_DATA,
        )  # fmt: skip
        return Predicted.model_validate_json(answer.content)


def _body(rows: Any) -> tuple[bytes, str]:
    """Write rows as the body of a request, and name its content type."""
    if isinstance(rows, str | PathLike):
        path = Path(rows)
        if not path.is_file():
            raise InvalidInput(f"There is no file {path} to predict.")
        return path.read_bytes(), "text/csv"
    if isinstance(rows, Sequence) and all(isinstance(row, Mapping) for row in rows):
        cells = [{str(name): _cell(cell) for name, cell in row.items()} for row in rows]
        return json.dumps({"rows": cells}, default=_plain).encode(), "application/json"
    return _parquet(rows), "application/vnd.apache.parquet"


def _cell(cell: Any) -> Any:
    return None if isinstance(cell, float) and not math.isfinite(cell) else cell


def _plain(value: Any) -> Any:
    """Convert what JSON has no form for: numbers of NumPy, dates."""
    return _cell(value.item()) if hasattr(value, "item") else str(value)


def _parquet(table: Any) -> bytes:
    """Write a table in memory as Parquet, which keeps its types.

    Raises:
        InvalidInput: it is no table.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    from foldstep.frames import as_arrow

    into = pa.BufferOutputStream()
    pq.write_table(as_arrow(table, []), into)
    content: bytes = into.getvalue().to_pybytes()
    return content
