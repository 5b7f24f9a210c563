"""Predict the rows of a file with one checkpoint, or with the mean of several."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from foldstep.models.checkpoint import CheckpointDamaged
from foldstep.options import no_file
from foldstep.service.contract.errors import Fault, InvalidInput
from foldstep.service.data.read import read_file
from foldstep.worker.checkpoints import Predictor
from foldstep.worker.data.load import Table


def predict_file(checkpoints: Sequence[Path], file: Path, *, proba: bool) -> tuple[list[str], list[list[Any]]]:
    """Predict every row of a file by the mean of the checkpoints' probabilities or values.

    The networks of all folds together are a cross-validation committee (Parmanto, Munro and Doyle 1996), which errs
    less than each of them.

    Args:
        checkpoints: files of networks with the same target and classes.
        file: a table with the columns of the training data.
        proba: class probabilities instead of classes.

    Returns:
        The header, and one row of predictions for each row of the file.

    Raises:
        InvalidInput: a checkpoint is damaged, they predict different things, or the file lacks a column that they were
            trained with.
        DatasetUnreadable: the file is no table.
    """
    predictors = [_load(checkpoint) for checkpoint in checkpoints]
    _check_alike(predictors, checkpoints)
    if not file.exists():
        raise no_file(file)
    read = read_file(file)
    table = Table({name: column.values for name, column in read.columns.items()})
    for predictor in predictors:
        _check_columns(predictor, table)
    try:
        return _predictions(predictors, table, proba=proba)
    except TypeError as error:  # a column of text where the training data had numbers, or the other way round
        raise InvalidInput(f"The file does not fit the training data: {error}.") from error


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
                "give checkpoints of one target with the same classes."
            )


def _predicted(predictor: Predictor) -> tuple[Any, ...]:
    """Identify what a checkpoint predicts: the target column and its classes."""
    return predictor.target_name, predictor.target.classes


def _predictions(predictors: Sequence[Predictor], table: Table, *, proba: bool) -> tuple[list[str], list[list[Any]]]:
    outputs = np.mean([predictor.outputs(table) for predictor in predictors], axis=0)
    first = predictors[0]
    classes = first.target.classes
    if proba and classes is not None:
        return [str(c) for c in classes], outputs.tolist()
    values = outputs if classes is None else first.target.labels(outputs.argmax(axis=1))
    return [first.target_name], [[value] for value in values]


def _check_columns(predictor: Predictor, table: Table) -> None:
    missing = [name for name in predictor.columns if name not in table.columns]
    faults = [Fault(code="missing_column", path=name, expected="a column of that name") for name in missing]
    if faults:
        raise InvalidInput("The file lacks columns of the training data: " + ", ".join(missing) + ".", faults=faults)
