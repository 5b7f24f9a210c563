"""Predict the rows of a file with one checkpoint, or with the mean of several."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from polars.exceptions import PanicException, PolarsError

from foldstep.earlier_reading import read_as_earlier
from foldstep.models.checkpoint import CheckpointDamaged, reading_facts
from foldstep.prediction_notes import names_with, unfit_note, unknown_note, unseen_note, weights_note
from foldstep.service.contract.columns import Label
from foldstep.service.contract.errors import Fault, InvalidInput
from foldstep.service.contract.hints import nearest
from foldstep.service.contract.reading import AS_FOUND, ReadingOptions, TableReading
from foldstep.service.data.read_as import TableAs, read_as
from foldstep.worker.data.load import Table
from foldstep.worker.data.target import unweighted
from foldstep.worker.predictor import Predictor

Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Predictions:
    """What was predicted for the rows of a file.

    Attributes:
        columns: name to cells: the columns that are carried through as text, then the predictions.
        notes: what a user should know of them, one sentence each.
    """

    columns: dict[str, list[Any]]
    notes: list[str]


def predict_file(
    checkpoints: Sequence[Path], file: Path, *, proba: bool, weighted: bool = False, ids: Sequence[str] = ()
) -> Predictions:
    """Predict every row of a file by the mean of the checkpoints' probabilities or values.

    The networks of all folds together are a cross-validation committee (Parmanto, Munro and Doyle 1996), which errs
    less than each of them. The file is read as the training data was: what a cell is follows from the checkpoint and
    not from the file, so that one row is read as a million are.

    Args:
        checkpoints: files of networks with the same target and classes.
        file: a table with the columns of the training data; the target may be missing.
        proba: class probabilities instead of classes.
        weighted: leave the probabilities as class weights in training have shifted them.
        ids: columns that are carried through as they are written.

    Raises:
        InvalidInput: a checkpoint is damaged, they predict different things, or the file lacks a column that they were
            trained with or that is to be carried through.
        DatasetUnreadable: the file is no table.
    """
    predictors = [_load(checkpoint) for checkpoint in checkpoints]
    _check_alike(predictors, checkpoints)
    if proba and predictors[0].target.task == "regression":
        is_are = "is a number and has" if predictors[0].target.n_targets == 1 else "are numbers and have"
        names = ", ".join(predictors[0].target_names)
        raise InvalidInput(f"{names} {is_are} no classes: leave out --proba.")
    try:
        with reading_facts():
            tables = _read(predictors, file, ids)
    except (CheckpointDamaged, PolarsError, PanicException) as error:
        words = " ".join(str(error).split())
        raise InvalidInput(f"{file} cannot be read as the checkpoints say: {words}.") from error
    first = tables[predictors[0].reading]
    _check_columns(predictors, first, ids)
    predicted = _predictions(predictors, tables, proba=proba, weighted=weighted)
    columns, notes = _beside(first.kept, predicted)
    notes += [unfit_note(predictors, first), unseen_note(predictors, first), unknown_note(predictors, predicted)]
    notes += [weights_note(predictors, weighted=weighted)] if proba else []
    notes += ["The table has no rows, so there is nothing to predict."] if first.n_rows == 0 else []
    return Predictions(columns, [note for note in notes if note])


def _load(checkpoint: Path) -> Predictor:
    try:
        return Predictor.load(checkpoint)
    except (CheckpointDamaged, OSError) as error:
        raise InvalidInput(f"{checkpoint} cannot be used as a checkpoint: {error}.") from error


def _check_alike(predictors: Sequence[Predictor], checkpoints: Sequence[Path]) -> None:
    for predictor, checkpoint in zip(predictors, checkpoints, strict=True):
        if _predicted(predictor) != _predicted(predictors[0]):
            raise InvalidInput(
                f"{checkpoint} predicts something else than {checkpoints[0]}: "
                "give checkpoints of the same targets in the same order, with the same classes or quantiles."
            )


def _predicted(predictor: Predictor) -> tuple[Any, ...]:
    """Identify what a checkpoint predicts: the target columns, and their classes or quantiles."""
    return predictor.target_names, predictor.classes, predictor.quantiles, predictor.classes_of_labels


def _read(predictors: Sequence[Predictor], file: Path, ids: Sequence[str]) -> dict[TableReading, TableAs]:
    """Read the file under each reading that the checkpoints have: one, if they are of one search."""
    if not file.exists():
        raise InvalidInput(f"There is no file {file} to predict.")
    keep = list(dict.fromkeys(ids))
    tables = {}
    for predictor in predictors:
        if predictor.reading not in tables:
            tables[predictor.reading] = _read_by(predictor, file, keep)
    return tables


def _read_by(predictor: Predictor, file: Path, keep: Sequence[str]) -> TableAs:
    if not predictor.has_reading:
        return read_as_earlier(file, predictor.reading, keep=keep)
    said = predictor.facts["context"]["data"].get("encoding")
    options = AS_FOUND if said is None or _is_utf8(file) else ReadingOptions(encoding=said)
    return read_as(file, predictor.reading, keep=keep, options=options)


def _is_utf8(file: Path) -> bool:
    """Tell whether a file is UTF-8, though the training data's encoding was said; a packed one is taken to be not."""
    try:
        with file.open(encoding="utf-8") as text:
            while text.read(1 << 20):
                pass
    except (UnicodeDecodeError, OSError):
        return False
    return True


def _check_columns(predictors: Sequence[Predictor], table: TableAs, ids: Sequence[str]) -> None:
    needed = dict.fromkeys(name for predictor in predictors for name in predictor.columns)
    missing = [name for name in needed if name not in table.names]
    if missing:
        raise _lacking(missing, table.names, "columns of the training data")
    missing = [name for name in ids if name not in table.names]
    if missing:
        raise _lacking(missing, table.names, "columns to carry through (--id)")


def _lacking(missing: Sequence[str], names: Sequence[str], what: str) -> InvalidInput:
    lower = {name.lower(): name for name in names}
    near = {name: lower.get(nearest(name.lower(), lower) or "") for name in missing}
    hints = {name: None if found is None else f"did you mean {found!r}?" for name, found in near.items()}
    faults = [
        Fault(code="missing_column", path=name, expected="a column of that name", hint=hints[name]) for name in missing
    ]
    listed = names_with({name: hints[name] or "" for name in missing})
    has = "" if any(near.values()) else f" It has {', '.join(names[:10])}{', …' if len(names) > 10 else ''}."
    return InvalidInput(f"The file lacks {what}: {listed}.{has}", faults=faults)


def _predictions(
    predictors: Sequence[Predictor], tables: dict[TableReading, TableAs], *, proba: bool, weighted: bool
) -> dict[str, list[Any]]:
    """Predict by the mean; a class is the most probable one as training weighted them, as for the leaderboard."""
    is_corrected = proba and not weighted and all(p.class_weights is not None for p in predictors if p.weighs)
    outputs = sum(
        _outputs(predictor, Table(tables[predictor.reading].columns), is_corrected) for predictor in predictors
    ) / len(predictors)
    assert isinstance(outputs, np.ndarray)
    first = predictors[0]
    if first.target.each:
        return _of_each_target(first, outputs, proba=proba)
    (name,) = first.target_names
    if first.quantiles:
        return {f"{name}_{level:g}": _cells(outputs[:, i]) for i, level in enumerate(first.quantiles)}
    if first.classes is None:
        return {name: _cells(outputs)}
    if proba:
        return {str(label): _cells(outputs[:, i]) for i, label in enumerate(first.classes)}
    return {name: _named(first.classes, outputs)}


def _of_each_target(predictor: Predictor, outputs: Matrix, *, proba: bool) -> dict[str, list[Any]]:
    """List the predictions of each of several targets: values, labels, or the probability of a label's second class."""
    names, classes = predictor.target_names, predictor.classes_of_labels
    if not classes:
        return {name: _cells(outputs[:, t]) for t, name in enumerate(names)}
    if proba:
        columns = _probability_names(names, [second for _, second in classes])
        return {column: _cells(outputs[:, t]) for t, column in enumerate(columns)}
    both = np.stack([1 - outputs, outputs], axis=2)
    return {name: _named(classes[t], both[:, t]) for t, name in enumerate(names)}


def _probability_names(names: Sequence[str], seconds: Sequence[Label]) -> list[str]:
    """Name the columns of labels' probabilities NAME_CLASS; those that are alike then get the label's name, too."""
    columns = [f"{name}_{second}" for name, second in zip(names, seconds, strict=True)]
    return [
        column if columns.count(column) == 1 else f"{column} ({name})"
        for column, name in zip(columns, names, strict=True)
    ]


def _named(classes: Sequence[Label], shares: Matrix) -> list[Label | None]:
    """Name the most probable class of each row, (rows, classes); None where that is not known."""
    labels = np.array([*classes, None], dtype=object)
    is_known = ~np.isnan(shares).any(axis=1)
    return list(labels[np.where(is_known, shares.argmax(axis=1), -1)])


def _cells(values: Matrix) -> list[float | None]:
    """List the values, None for NaN."""
    return [None if math.isnan(value) else value for value in values.tolist()]


def _outputs(predictor: Predictor, table: Table, is_corrected: bool) -> Matrix:
    outputs = predictor.outputs(table)
    weights = predictor.class_weights
    return unweighted(outputs, weights) if is_corrected and weights is not None else outputs


def _beside(
    kept: dict[str, list[str | None]], predicted: dict[str, list[Any]]
) -> tuple[dict[str, list[Any]], list[str]]:
    """Put the predictions beside the columns carried through; one whose name is taken gets another, and a note."""
    columns: dict[str, list[Any]] = dict(kept)
    notes = []
    for name, cells in predicted.items():
        free = name
        while free in columns or (free != name and free in predicted):
            free = f"predicted_{free}"
        if free != name:
            notes.append(f"The column {name} is carried through, so the prediction is called {free}.")
        columns[free] = cells
    return columns, notes
