"""The preprocessing of networks as a part of a graph: from the columns of a table to each network's matrix."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from foldstep.portable.dates import PARTS
from foldstep.portable.onnx_graph import Graph, GraphOps, Node
from foldstep.portable.scaling import SCALINGS
from foldstep.service.contract.features import HUGE
from foldstep.service.contract.reading import ColumnReading, TableReading, missing_numbers
from foldstep.worker.data.codings import CategoryCoding, NumberCoding
from foldstep.worker.data.preprocess import Preprocessor

_FLOAT32_MAX = float(np.finfo(np.float32).max)
_TEXT = np.dtype(object)


class Columns:
    """The inputs of a graph, one for each column of a table, and what networks read of them.

    Args:
        graph: in which they are.
        reading: how the columns of the training data were read.
        names: the columns, in the order of the inputs.
    """

    def __init__(self, graph: Graph, reading: TableReading, names: list[str]) -> None:
        self._graph, self._ops = graph, GraphOps(graph)
        self._missing = reading.missing
        self._readings: Mapping[str, ColumnReading] = {column.name: column for column in reading.columns}
        kinds = {name: self._readings[name].kind for name in names}
        self._inputs = {name: graph.input(name, _TEXT if kinds[name] == "category" else np.float64) for name in names}
        self._known: dict[tuple[str, str | None], Node] = {}
        self._categories: dict[CategoryCoding, Node] = {}

    def number(self, name: str, part: str | None = None) -> Node:
        """Take a column of numbers, or one number of its dates, as (rows, 1); NaN where it is missing."""
        if (name, part) not in self._known:
            x = self._inputs[name]
            for number in missing_numbers(self._missing) if self._readings[name].kind == "number" else []:
                is_said = self._graph("Equal", x, self._graph.constant(number, np.float64), dtype=bool)
                x = self._ops.where(is_said, np.nan, x)
            x = self._ops.where(self._ops.abs(x) <= HUGE, x, np.nan)
            self._known[name, part] = self._as_column(x if part is None else PARTS[part](self._ops, x))
        return self._known[name, part]

    def matrix(self, fitted: Preprocessor) -> Node:
        """Make the inputs of a network, (rows, inputs), float32, as `Preprocessor.transform` does."""
        numbers = [self._scaled(fitted), *self._flags(fitted.numbers)] if fitted.numbers else []
        in_order = sorted(fitted.categories, key=lambda coding: coding.is_coded)
        return self._ops.concat([*numbers, *(self._encoded(coding) for coding in in_order if coding.n_units)])

    def _raw(self, codings: tuple[NumberCoding, ...]) -> Node:
        return self._ops.concat([self.number(coding.name, coding.part) for coding in codings])

    def _scaled(self, fitted: Preprocessor) -> Node:
        raw = self._raw(fitted.numbers)
        medians = self._ops.constant(np.array([coding.median for coding in fitted.numbers]), raw)
        filled = self._ops.where(self._ops.is_nan(raw), medians, raw)
        scaled = SCALINGS[fitted.scaler](self._ops, filled, fitted.scaling)
        return self._ops.single(self._ops.minimum(self._ops.maximum(scaled, -_FLOAT32_MAX), _FLOAT32_MAX))

    def _flags(self, codings: tuple[NumberCoding, ...]) -> Iterator[Node]:
        flagged = tuple(coding for coding in codings if coding.flagged)
        if flagged:
            yield self._ops.is_nan(self._raw(flagged)).cast(np.float32)

    def _encoded(self, coding: CategoryCoding) -> Node:
        if coding not in self._categories:
            unit_of, unknown = self._units(coding)
            units = self._graph(
                "LabelEncoder", self._inputs[coding.name], dtype=np.int64, domain="ai.onnx.ml",
                keys_strings=list(unit_of), values_int64s=list(unit_of.values()), default_int64=unknown,
            )  # fmt: skip
            self._categories[coding] = self._as_units(coding, self._as_column(units))
        return self._categories[coding]

    def _as_units(self, coding: CategoryCoding, units: Node) -> Node:
        if coding.is_coded:
            return units.cast(np.float32)
        each = self._graph.constant(np.arange(coding.n_units), np.int64)
        return self._graph("Equal", units, each, dtype=bool).cast(np.float32)

    def _units(self, coding: CategoryCoding) -> tuple[dict[str, int], int]:
        """Find the unit of every text that is known, and that of the others."""
        unit_of, unknown, missing = coding.unit_of_text
        texts = dict(unit_of)
        for word in (*self._missing, ""):
            texts |= {text: missing for text in _in_cases(word) if text not in unit_of}
        labels = self._readings[coding.name].labels
        for i, label in enumerate(labels or ()):
            for word in (label, *_WORDS[i]):
                texts |= {text: unit_of.get(label, unknown) for text in _in_cases(word)}
        return texts, unknown

    def _as_column(self, vector: Node) -> Node:
        return self._graph("Unsqueeze", vector, self._graph.constant([1], np.int64))


_WORDS = (("false", "0", "0.0"), ("true", "1", "1.0"))
"""Texts for the first and the second label of a column of true and false."""


def _in_cases(word: str) -> set[str]:
    """List a word as people write it: a graph compares texts letter by letter."""
    return {word, word.lower(), word.upper(), word.capitalize()}
