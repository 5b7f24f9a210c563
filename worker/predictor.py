"""A network from a checkpoint, ready to predict; free of PyTorch, which takes a second to import."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from foldstep.models.checkpoint import Arrays, CheckpointDamaged, Facts, decode, reading_facts
from foldstep.models.fnn import forward, sigmoid, softmax
from foldstep.models.hyperparameters import Hyperparameters, resolve
from foldstep.models.input_stage import InputStage
from foldstep.models.weights import Weights, weights_of
from foldstep.service.contract.columns import CategoryColumn, ColumnValues, DateColumn, Label, NumberColumn
from foldstep.service.contract.errors import shown
from foldstep.service.contract.out_of_fold import without_predictions
from foldstep.service.contract.reading import AS_FOUND, ColumnReading, Kind, TableReading
from foldstep.worker.data.load import Table
from foldstep.worker.data.preprocess import Preprocessor
from foldstep.worker.data.target import TargetCoder

CHECKPOINT = "checkpoint"
"""The kind of file that a checkpoint says it is."""
_NO_VALUE: dict[Kind, ColumnValues] = {
    "number": NumberColumn(np.array([np.nan])),
    "date": DateColumn(np.array([np.nan])),
    "category": CategoryColumn(np.array([-1], np.int32), ()),
}
"""A column of one row without a value, by its kind."""
ROWS_AT_ONCE = 1 << 13
"""Rows that are predicted at once, which bounds the memory of their inputs."""


@dataclass(frozen=True)
class Predictor:
    """A network from a checkpoint, with everything that it takes to predict from a table.

    Attributes:
        facts: what the file says about itself.
        weighs: whether the classes had weights in training.
        class_weights: these weights, (classes,); None where there were none, or where an earlier version trained it
            with weights that it did not save.
        stage: what is between the inputs and the first layer; None for nothing.
    """

    hp: Hyperparameters
    weights: Weights
    preprocessor: Preprocessor
    target: TargetCoder
    facts: dict[str, Any]
    weighs: bool = False
    class_weights: npt.NDArray[np.float64] | None = None
    stage: InputStage | None = None

    @classmethod
    def load(cls, path: Path) -> Predictor:
        """Read a checkpoint file.

        Raises:
            CheckpointDamaged: the file is no whole checkpoint.
        """
        return cls.read(path.read_bytes())

    @classmethod
    def read(cls, content: bytes) -> Predictor:
        """Read the bytes of a checkpoint file.

        Raises:
            CheckpointDamaged: they are no whole checkpoint.
        """
        arrays, facts = decode(content)
        if facts.get("kind") != CHECKPOINT:
            raise CheckpointDamaged(f"expected a checkpoint, however: {shown(str(facts.get('kind')))}")
        with reading_facts():
            predictor = cls._of(arrays, facts)
            predictor._try_out()
        return predictor

    @classmethod
    def _of(cls, arrays: Arrays, facts: Facts) -> Predictor:
        hp = resolve(facts["params"], seed=facts["seed"])
        preprocessor = Preprocessor.from_json(facts["preprocessing"])
        target = TargetCoder.from_json(facts["target"])
        weighs = target.classes is not None and hp.class_weight != "none"
        class_weights = _saved_weights(facts, target, hp)
        stage = None if facts.get("input_stage") is None else InputStage.from_json(facts["input_stage"])
        weights = weights_of("", without_predictions(arrays))
        return cls(hp, weights, preprocessor, target, facts, weighs, class_weights, stage)

    def _try_out(self) -> None:
        """Predict one row without a value, so that what does not fit together is found before a file is read.

        Raises:
            CheckpointDamaged: it gives no prediction.
        """
        targets = self.target_names
        are_named = all(isinstance(name, str) for name in targets) and len(targets) == self.target.n_targets
        if not _is_well_typed(self.preprocessor) or not are_named:
            raise CheckpointDamaged("its columns are not described as columns are")
        labels = [label for classes in (self.classes or (), *self.classes_of_labels) for label in classes]
        if not all(isinstance(label, str | int | float) for label in labels):
            raise CheckpointDamaged("a class has no label")
        if self.class_weights is not None and self.class_weights.shape != (self.target.n_outputs,):
            raise CheckpointDamaged("there are more or fewer weights of classes than classes")
        kinds = {column.name: column.kind for column in self.reading.columns}
        x = self.preprocessor.transform(Table({name: _NO_VALUE[kinds[name]] for name in self.columns}), np.array([0]))
        if forward(self.hp, self.weights, x, self.stage).shape != (1, self.target.n_outputs):
            raise CheckpointDamaged("its network has other outputs than its target")

    def outputs(self, table: Table) -> npt.NDArray[np.float64]:
        """Predict class probabilities (rows, classes), or values in the target's units, (rows,) or (rows, quantiles).

        Of several targets, (rows, targets) values, or probabilities of each label's second class.
        The probabilities are those of the classes as training weighted them; see `class_weights`. A value is NaN where
        the row's exposure is missing or below 0.
        """
        return np.concatenate([self.outputs_of(self.inputs(table, rows), table, rows) for rows in pieces(table.n_rows)])

    def inputs(self, table: Table, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """Preprocess some rows, (rows, inputs)."""
        return self.preprocessor.transform(table, rows)

    def outputs_of(
        self, inputs: npt.NDArray[np.float32], table: Table, rows: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.float64]:
        """Predict some rows whose inputs are at hand; see `outputs`."""
        return answers(forward(self.hp, self.weights, inputs, self.stage), self.target, self._exposure(table, rows))

    def prepares_as(self, other: Predictor) -> bool:
        """Tell whether the inputs of another network are this one's, too."""
        return bool(self.facts["preprocessing"] == other.facts["preprocessing"])

    @property
    def has_reading(self) -> bool:
        """Whether the file says how the columns of its training data were read; those of earlier versions do not."""
        return self.facts["context"].get("reading") is not None

    @cached_property
    def reading(self) -> TableReading:
        """How the columns of its training data were read."""
        saved = self.facts["context"].get("reading")
        return self._derived_reading() if saved is None else TableReading.model_validate(saved)

    def _derived_reading(self) -> TableReading:
        """Derive the reading of an earlier version, which saved none, from what its columns became."""
        numbers = [*(coding.name for coding in self.preprocessor.numbers), *self.exposure_names]
        kinds: dict[str, Kind] = dict.fromkeys(numbers, "number")
        kinds |= dict.fromkeys((coding.name for coding in self.preprocessor.categories), "category")
        columns = [ColumnReading(name=name, kind=kind) for name, kind in kinds.items()]
        return TableReading(missing=AS_FOUND.missing_words, columns=tuple(columns))

    @property
    def classes(self) -> tuple[Label, ...] | None:
        """The classes as the training data's file writes them; None for regression."""
        return self.target.classes

    @property
    def quantiles(self) -> tuple[float, ...]:
        """Levels of the quantiles that it predicts; none for classes and for one value."""
        return self.target.quantiles

    @property
    def classes_of_labels(self) -> tuple[tuple[Label, ...], ...]:
        """The two classes of each of several labels; none for other targets."""
        return tuple(one.classes for one in self.target.each if one.classes is not None)

    @property
    def target_names(self) -> list[str]:
        """The columns that it predicts."""
        target = self.facts["context"]["data"]["target"]
        return list(target) if isinstance(target, list) else [target]

    @property
    def columns(self) -> list[str]:
        """The columns that a table must have."""
        fitted = self.preprocessor
        features = [c.name for c in fitted.numbers] + [c.name for c in fitted.categories]
        return list(dict.fromkeys([*features, *self.exposure_names]))

    @property
    def is_one_value(self) -> bool:
        """Whether it predicts one number a row, not several or probabilities."""
        return self.target.classes is None and not self.target.quantiles and not self.target.each

    @property
    def exposure_names(self) -> list[str]:
        """The column of the exposure, if there is one."""
        name = self.facts["context"]["data"].get("exposure")
        return [] if name is None else [str(name)]

    def _exposure(self, table: Table, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float64] | None:
        for name in self.exposure_names:
            column = table.columns[name]
            assert isinstance(column, NumberColumn)  # its reading says so
            values = column.values[rows]
            return np.where(values >= 0, values, np.nan)
        return None


def pieces(n_rows: int) -> list[npt.NDArray[np.int64]]:
    """List the rows in pieces that are predicted at once; one piece without rows where there are none."""
    starts = range(0, max(n_rows, 1), ROWS_AT_ONCE)
    return [np.arange(start, min(start + ROWS_AT_ONCE, n_rows)) for start in starts]


def answers(
    outputs: npt.NDArray[np.float32], target: TargetCoder, exposure: npt.NDArray[np.float64] | None
) -> npt.NDArray[np.float64]:
    """Make probabilities or values of a network's outputs, in the shapes of `Predictor.outputs`.

    Args:
        outputs: (rows, outputs).
        target: the coding of the target.
        exposure: of each row; None for 1.
    """
    raw = outputs.astype(np.float64)
    if target.task == "multilabel":
        return sigmoid(raw)
    if target.classes is not None:
        return softmax(raw)
    if target.quantiles or target.each:
        return target.values(raw.T, None).T
    return target.values(raw[:, 0], exposure)


def _is_well_typed(fitted: Preprocessor) -> bool:
    """Tell whether flags are flags and names are names; a number in place of a flag would be a count of columns."""
    flags = [c.flagged for c in fitted.numbers] + [f for c in fitted.categories for f in (c.has_other, c.has_missing)]
    names = [*(c.name for c in fitted.numbers), *(c.name for c in fitted.categories)]
    labels = [label for c in fitted.categories for label in c.labels]
    return all(isinstance(f, bool) for f in flags) and all(isinstance(n, str) for n in (*names, *labels))


def _saved_weights(facts: Facts, target: TargetCoder, hp: Hyperparameters) -> npt.NDArray[np.float64] | None:
    """Read the weights of the classes; an earlier version did not save them, but a mapping tells them."""
    saved = facts["target"].get("class_weights")
    if saved is not None:
        return np.array(saved, dtype=np.float64)
    if hp.class_weight == "balanced":
        return None
    return target.class_weights(hp.class_weight, np.empty(0, np.int64))
