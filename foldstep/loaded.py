"""A model in Python: `foldstep.load` reads a model file, and what it gives predicts tables in memory."""

from __future__ import annotations

import warnings
from functools import cached_property
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from foldstep.ensemble import Matrix, Tables
from foldstep.frames import as_arrow
from foldstep.model_file import ModelFile, read_model
from foldstep.prediction import check_has_classes, most_probable, notes_on
from foldstep.prediction_tables import read_tables
from foldstep.service.contract.columns import Label
from foldstep.worker.data.load import Table

if TYPE_CHECKING:
    from foldstep.portable.torch_module import EnsembleModule


class PredictionWarning(UserWarning):
    """What a user should know of predictions: cells that were not used, rows without a prediction."""


def load(path: str | PathLike[str]) -> Model:
    """Read a model file.

    Raises:
        ModelUnreadable: it is not there, not whole, or something else.
    """
    return Model(read_model(Path(path)))


def model_of(content: bytes) -> Model:
    """Read the bytes of a model file."""
    with TemporaryDirectory(prefix="foldstep-") as folder:
        path = Path(folder) / "model.foldstep"
        path.write_bytes(content)
        return load(path)


class Model:
    """A model from a file: an ensemble that predicts, and the card that says where it comes from.

    A table is a DataFrame of pandas or polars, an Arrow table, a dict of columns, or an array or list of rows in the
    order of `columns`. It is read as the training data was; its columns may have any order and further ones may be
    there. What could not be used is told by a `PredictionWarning`.

    Args:
        file: the content of the model file.
    """

    def __init__(self, file: ModelFile) -> None:
        self._file = file
        self._ensemble = file.ensemble

    def __repr__(self) -> str:
        return f"<Model of {', '.join(self._ensemble.first.target_names)}: {self.card.get('chosen', 'no card')}>"

    @property
    def card(self) -> dict[str, Any]:
        """The model card: data, spec, scores, versions."""
        return self._file.card

    @property
    def columns(self) -> list[str]:
        """The columns that a table must have."""
        return self._ensemble.columns

    @property
    def classes_(self) -> npt.NDArray[Any] | list[npt.NDArray[Any]] | None:
        """The classes, in the order of the probabilities; of several labels a list; None for numbers."""
        first = self._ensemble.first
        if first.classes_of_labels:
            return [_labels(classes) for classes in first.classes_of_labels]
        return None if first.classes is None else _labels(first.classes)

    @property
    def temperature(self) -> float:
        """The temperature that calibrates its probabilities, from out-of-fold rows; 1 for none."""
        return self._ensemble.adjustments.temperature

    @property
    def threshold(self) -> float | None:
        """The probability above which `predict` takes the second of two classes; None for the more probable class."""
        return self._ensemble.adjustments.threshold

    @cached_property
    def module(self) -> EnsembleModule:
        """The networks as a `torch.nn.Module`; it takes what `inputs` gives. Needs PyTorch.

        Raises:
            InvalidInput: PyTorch is not installed.
        """
        from foldstep.portable.torch_module import module_of

        return module_of(self._ensemble)

    def predict(self, table: Any) -> npt.NDArray[Any]:
        """Predict classes or values of every row.

        Returns:
            (rows,), or (rows, quantiles) or (rows, targets); None or NaN where a row has no prediction.

        Raises:
            InvalidInput: it is no table, or lacks a column.
        """
        tables = self._read(table)
        outputs = self._ensemble.answers(tables)
        self._warn(tables, outputs, proba=False, weighted=False)
        first = self._ensemble.first
        if first.classes_of_labels:
            both = np.stack([1 - outputs, outputs], axis=2)
            named = [_array(most_probable(c, both[:, t])) for t, c in enumerate(first.classes_of_labels)]
            return np.stack([one.astype(object) for one in named], axis=1)
        return outputs if first.classes is None else _array(most_probable(first.classes, outputs))

    def predict_proba(self, table: Any, *, weighted: bool = False, uncalibrated: bool = False) -> Matrix:
        """Predict the probability of each class.

        Args:
            table: the rows.
            weighted: leave the probabilities as class weights in training have shifted them; where there were any, this
                leaves out the temperature, too.
            uncalibrated: leave out the temperature.

        Returns:
            (rows, classes), or of several labels (rows, labels), the probability of each one's second class.

        Raises:
            InvalidInput: numbers have no classes; or as `predict`.
        """
        check_has_classes(self._ensemble, "use predict")
        tables = self._read(table)
        outputs = self._ensemble.probabilities(tables, weighted=weighted, uncalibrated=uncalibrated)
        self._warn(tables, outputs, proba=True, weighted=weighted)
        return outputs

    def predict_interval(self, table: Any, share: float = 0.9) -> Matrix:
        """Predict an interval around the value of every row; of one number alone.

        It comes from the errors on training rows that their networks did not see.

        Args:
            table: the rows.
            share: of the rows that are to lie within their intervals; `card["intervals"]` has those that there are.

        Returns:
            (rows, 2): the lower and the upper end.

        Raises:
            InvalidInput: there are no intervals for this share; or as `predict`.
        """
        half_width = self._ensemble.half_width(share)
        values = self.predict(table)
        return np.stack([values - half_width, values + half_width], axis=1)

    def inputs(self, table: Any) -> list[npt.NDArray[np.float32]]:
        """Preprocess every row for `module`: for each network, in their order, a matrix (rows, inputs).

        Each network has its own, since each was fitted on the training part of its fold.

        Raises:
            InvalidInput: as `predict`.
        """
        tables = self._read(table)
        self._warn(tables, np.zeros((0,)), proba=False, weighted=False)
        rows = np.arange(tables[self._ensemble.first.reading].n_rows)
        return [p.preprocessor.transform(Table(tables[p.reading].columns), rows) for p in self._ensemble.predictors]

    def _read(self, table: Any) -> Tables:
        return read_tables(self._ensemble, as_arrow(table, self.columns))

    def _warn(self, tables: Tables, outputs: Matrix, *, proba: bool, weighted: bool) -> None:
        n_unknown = int(np.isnan(outputs.reshape(len(outputs), -1)).any(axis=1).sum()) if len(outputs) else 0
        for note in notes_on(self._ensemble, tables, n_unknown, proba=proba, weighted=weighted):
            warnings.warn(note, PredictionWarning, stacklevel=3)


def _labels(classes: tuple[Label, ...]) -> npt.NDArray[Any]:
    is_of_one_type = len({type(label) for label in classes}) == 1
    return np.array(classes, dtype=None if is_of_one_type else object)


def _array(labels: list[Label | None]) -> npt.NDArray[Any]:
    """Make an array of labels; of objects where types differ, or a row has none."""
    is_of_one_type = len({type(label) for label in labels}) == 1
    return np.array(labels, dtype=None if is_of_one_type else object)
