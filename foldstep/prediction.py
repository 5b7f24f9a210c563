"""Predicts the rows of a file with one checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from models.checkpoint import CheckpointDamaged
from service.contract.columns import column_from_arrow
from service.contract.errors import Fault, InvalidInput
from service.data.read import read_file
from worker.checkpoints import Predictor
from worker.data.load import Table


def predict_file(checkpoint: Path, file: Path, *, proba: bool) -> tuple[list[str], list[list[Any]]]:
    """Header and rows of the predictions.

    Raises:
        InvalidInput: the checkpoint is damaged, or the file lacks a column that it was trained with.
        DatasetUnreadable: the file is no table.
    """
    try:
        predictor = Predictor.load(checkpoint)
    except (CheckpointDamaged, OSError) as error:
        raise InvalidInput(f"{checkpoint} cannot be used as a checkpoint: {error}.") from error
    arrow = read_file(file)
    table = Table({name: column_from_arrow(arrow.column(name).combine_chunks()) for name in arrow.column_names})
    _check_columns(predictor, table)
    try:
        return _predictions(predictor, table, proba=proba)
    except TypeError as error:  # a column of text where the training data had numbers, or the other way round
        raise InvalidInput(f"The file does not fit the training data: {error}.") from error


def _predictions(predictor: Predictor, table: Table, *, proba: bool) -> tuple[list[str], list[list[Any]]]:
    classes = predictor.target.classes
    if proba and classes is not None:
        return [str(c) for c in classes], predictor.outputs(table).tolist()
    name = predictor.facts["context"]["data"]["target"]
    return [name], [[value] for value in predictor.predict(table)]


def _check_columns(predictor: Predictor, table: Table) -> None:
    missing = [name for name in predictor.columns if name not in table.columns]
    faults = [Fault(code="missing_column", path=name, expected="a column of that name") for name in missing]
    if faults:
        raise InvalidInput("The file lacks columns of the training data: " + ", ".join(missing) + ".", faults=faults)
