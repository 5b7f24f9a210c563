"""Predict the rows of a file with one network, or with the weighted mean of several."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from foldstep.ensemble import Ensemble, Matrix, Tables
from foldstep.prediction_notes import (
    temperature_note,
    threshold_note,
    unfit_note,
    unknown_note,
    unseen_note,
    weights_note,
)
from foldstep.prediction_tables import read_tables
from foldstep.service.contract.columns import Label
from foldstep.service.contract.errors import InvalidInput
from foldstep.worker.predictor import Predictor


@dataclass(frozen=True)
class Predictions:
    """What was predicted for the rows of a file.

    Attributes:
        columns: name to cells: the columns that are carried through as text, then the predictions.
        notes: what a user should know of them, one sentence each.
    """

    columns: dict[str, list[Any]]
    notes: list[str]


def predict_file(  # noqa: PLR0913 - the options of `foldstep predict`
    ensemble: Ensemble,
    file: Path | pa.Table,
    *,
    proba: bool,
    weighted: bool = False,
    uncalibrated: bool = False,
    ids: Sequence[str] = (),
    interval: float | None = None,
    check: Callable[[int], None] = lambda _: None,
) -> Predictions:
    """Predict every row of a file, or of a table in memory, by the weighted mean of the networks' answers.

    The file is read as the training data was: what a cell is follows from the checkpoint and not from the file, so that
    one row is read as a million are.

    Args:
        ensemble: the networks.
        file: a table with the columns of the training data; the target may be missing.
        check: called with the number of rows before they are predicted; it may refuse them.
        proba: class probabilities instead of classes.
        weighted: leave the probabilities as class weights in training have shifted them.
        uncalibrated: leave the probabilities without the ensemble's temperature.
        ids: columns that are carried through as they are written.
        interval: share of the rows that intervals around values are to cover; None for none.

    Raises:
        InvalidInput: numbers have no probabilities, there are no intervals for this share, or the file lacks a column
            that the networks were trained with or that is to be carried through.
        DatasetUnreadable: the file is no table.
    """
    if proba:
        check_has_classes(ensemble, "leave out --proba")
    half_width = None if interval is None else ensemble.half_width(interval)
    tables = read_tables(ensemble, file, ids)
    check(tables[ensemble.first.reading].n_rows)
    probabilities = partial(ensemble.probabilities, weighted=weighted, uncalibrated=uncalibrated)
    outputs = probabilities(tables) if proba else ensemble.answers(tables)
    predicted = named_columns(ensemble.first, outputs, proba=proba)
    if half_width is not None:
        predicted |= _interval(ensemble.first.target_names[0], outputs, half_width)
    columns, notes = _beside(tables[ensemble.first.reading].kept, predicted)
    n_unknown = next(iter(predicted.values())).count(None)
    notes += notes_on(ensemble, tables, n_unknown, proba=proba, weighted=weighted)
    notes += [temperature_note(ensemble, weighted, uncalibrated) if proba else threshold_note(ensemble)]
    return Predictions(columns, [note for note in notes if note])


def _interval(name: str, values: Matrix, half_width: float) -> dict[str, list[Any]]:
    return {f"{name}_low": _cells(values - half_width), f"{name}_high": _cells(values + half_width)}


def check_has_classes(ensemble: Ensemble, way_out: str) -> None:
    """Refuse to give probabilities of numbers.

    Raises:
        InvalidInput: the target has no classes.
    """
    first = ensemble.first
    if first.target.task == "regression":
        is_are = "is a number and has" if first.target.n_targets == 1 else "are numbers and have"
        raise InvalidInput(f"{', '.join(first.target_names)} {is_are} no classes: {way_out}.")


def notes_on(ensemble: Ensemble, tables: Tables, n_unknown: int, *, proba: bool, weighted: bool) -> list[str]:
    """Tell what a user should know of predictions, one sentence each.

    Args:
        ensemble: the networks.
        tables: the rows.
        n_unknown: rows without a prediction.
        proba: whether they are probabilities.
        weighted: whether these are left as class weights have shifted them.
    """
    predictors, table = ensemble.predictors, tables[ensemble.first.reading]
    notes = [unfit_note(predictors, table), unseen_note(predictors, table), unknown_note(predictors, n_unknown)]
    notes += [weights_note(predictors, weighted=weighted)] if proba else []
    notes += ["The table has no rows, so there is nothing to predict."] if table.n_rows == 0 else []
    return [note for note in notes if note]


def named_columns(first: Predictor, outputs: Matrix, *, proba: bool) -> dict[str, list[Any]]:
    """Name the columns of predictions; a class is the one of the greatest output."""
    if first.target.each:
        return _of_each_target(first, outputs, proba=proba)
    (name,) = first.target_names
    if first.quantiles:
        return {f"{name}_{level:g}": _cells(outputs[:, i]) for i, level in enumerate(first.quantiles)}
    if first.classes is None:
        return {name: _cells(outputs)}
    if proba:
        return {str(label): _cells(outputs[:, i]) for i, label in enumerate(first.classes)}
    return {name: most_probable(first.classes, outputs)}


def _of_each_target(predictor: Predictor, outputs: Matrix, *, proba: bool) -> dict[str, list[Any]]:
    """List the predictions of each of several targets: values, labels, or the probability of a label's second class."""
    names, classes = predictor.target_names, predictor.classes_of_labels
    if not classes:
        return {name: _cells(outputs[:, t]) for t, name in enumerate(names)}
    if proba:
        columns = _probability_names(names, [second for _, second in classes])
        return {column: _cells(outputs[:, t]) for t, column in enumerate(columns)}
    both = np.stack([1 - outputs, outputs], axis=2)
    return {name: most_probable(classes[t], both[:, t]) for t, name in enumerate(names)}


def _probability_names(names: Sequence[str], seconds: Sequence[Label]) -> list[str]:
    """Name the columns of labels' probabilities NAME_CLASS; those that are alike then get the label's name, too."""
    columns = [f"{name}_{second}" for name, second in zip(names, seconds, strict=True)]
    return [
        column if columns.count(column) == 1 else f"{column} ({name})"
        for column, name in zip(columns, names, strict=True)
    ]


def most_probable(classes: Sequence[Label], shares: Matrix) -> list[Label | None]:
    """Name the most probable class of each row, (rows, classes); None where that is not known."""
    labels = np.array([*classes, None], dtype=object)
    is_known = ~np.isnan(shares).any(axis=1)
    return list(labels[np.where(is_known, shares.argmax(axis=1), -1)])


def _cells(values: Matrix) -> list[float | None]:
    """List the values, None for NaN."""
    return [None if math.isnan(value) else value for value in values.tolist()]


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
