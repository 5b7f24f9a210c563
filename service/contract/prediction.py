"""The records of predictions by REST: what is asked of the master's child process, and what is answered."""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

from pydantic import Field

from foldstep.service.contract.calibration import NOTHING, Adjustments
from foldstep.service.contract.space import Frozen

Cell: TypeAlias = float | int | str | None


class CommitteeFiles(Frozen):
    """The checkpoints of one trial that predicts, with its weight; see `foldstep.committee.Committee`."""

    trial: int
    weight: float = Field(gt=0)
    checkpoints: list[Path] = Field(min_length=1)


class ChosenFiles(Frozen):
    """The networks with which a search predicts.

    Attributes:
        search: its id.
        words: which networks they are, as a sentence.
        adjustments: what is done with their mean.
    """

    search: str
    words: str
    committees: list[CommitteeFiles]
    adjustments: Adjustments = NOTHING


class PredictionOptions(Frozen):
    """What is predicted of each row; the same as the options of `foldstep predict`.

    Attributes:
        proba: class probabilities instead of classes.
        weighted: leave the probabilities as class weights in training have shifted them.
        uncalibrated: leave the probabilities without the ensemble's temperature.
        interval: share of the rows that intervals around values are to cover; None for none.
        id: columns that are carried through as they are written.
        trial: the number of a trial that is to predict alone; None for the ensemble.
    """

    proba: bool = Field(default=False, description="class probabilities instead of classes")
    weighted: bool = Field(default=False, description="leave probabilities as class weights have shifted them")
    uncalibrated: bool = Field(default=False, description="leave probabilities without the ensemble's temperature")
    interval: float | None = Field(default=None, description="share of rows that intervals are to cover, as 0.9")
    id: list[str] = Field(default_factory=list, description="a column that is carried through; may be repeated")
    trial: int | None = Field(default=None, ge=0, le=2**31 - 1, description="this trial alone, not the ensemble")


class PredictionRequest(Frozen):
    """Rows to predict, for the child process.

    Attributes:
        file: path of what the client has sent.
        is_json: whether it is JSON, `{"rows": [...]}`; else it is a table, CSV or Parquet.
        most_rows: rows that are predicted at most.
    """

    chosen: ChosenFiles
    file: Path
    is_json: bool
    options: PredictionOptions
    most_rows: int


class Predicted(Frozen):
    """Predictions of a search's networks for some rows (`POST /searches/{id}/predict`).

    Attributes:
        search: the search's id.
        trials: the trials that predicted together; see `chosen` for the search of those that were trained for it.
        chosen: which networks they were, a sentence.
        n_rows: rows that were sent.
        columns: name to one cell for each row, in the order of the rows: the columns that are carried through, then the
            predictions; null where a row has none.
        notes: what to know of them, one sentence each.
    """

    search: str
    trials: list[int]
    chosen: str
    n_rows: int
    columns: dict[str, list[Cell]]
    notes: list[str] = Field(default_factory=list)
