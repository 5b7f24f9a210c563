"""An ensemble as one ONNX graph, from the columns of a table to labels and probabilities, or values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from foldstep.ensemble import Ensemble
from foldstep.portable.answers import answer, tempered, weighted_mean
from foldstep.portable.network import forward, prepared
from foldstep.portable.onnx_graph import Graph, GraphOps, Node
from foldstep.portable.onnx_inputs import Columns
from foldstep.service.contract.columns import Label
from foldstep.service.contract.errors import Fault, InvalidInput
from foldstep.worker.predictor import Predictor

_MOST_BYTES = 2_000_000_000  # a message of protobuf has at most 2^31 bytes


def onnx_bytes(ensemble: Ensemble, said: Mapping[str, str]) -> bytes:
    """Write an ensemble as an ONNX model.

    Its inputs are the columns of the table, each (rows,): numbers as float64 with NaN for missing, categories as
    strings with an empty one for missing. Its outputs are `output_names`.

    Args:
        ensemble: the networks.
        said: what the model says about itself, by name.

    Raises:
        InvalidInput: the networks are of searches that read their columns in different ways, or it is too large.
    """
    readings = {predictor.reading for predictor in ensemble.predictors}
    if len(readings) > 1:
        raise InvalidInput("One graph reads its columns in one way: export the networks of each search by themselves.")
    names = output_names(ensemble)
    graph = Graph(taken={*ensemble.columns, *names})
    columns = Columns(graph, ensemble.first.reading, ensemble.columns)
    raws = [_raw(graph, columns, predictor) for predictor in ensemble.predictors]
    for (value, n_columns), name in zip(_outputs(graph, columns, ensemble, raws), names, strict=True):
        graph.output(value, name, n_columns)
    content: bytes = graph.model(dict(said)).SerializeToString()
    if len(content) > _MOST_BYTES:
        fault = Fault(
            code="too_large", path="format", expected=f"at most {_MOST_BYTES:,} bytes", got=f"{len(content):,}"
        )
        raise InvalidInput(f"The graph is too large: {fault}; --format foldstep has no such bound.", faults=[fault])
    return content


def output_names(ensemble: Ensemble) -> list[str]:
    """List the names of the outputs; `predicted_` stands before one that a column of the table has.

    They are `label` and `probabilities`; of several labels `label_NAME` for each, and `probabilities`; of numbers
    `value` for one and `values` for several.
    """
    first = ensemble.first
    if first.classes_of_labels:
        names = [*(f"label_{name}" for name in first.target_names), "probabilities"]
    elif first.classes is not None:
        names = ["label", "probabilities"]
    else:
        names = ["value" if first.is_one_value else "values"]
    free = []
    for name in names:
        while name in ensemble.columns or name in free:
            name = f"predicted_{name}"
        free.append(name)
    return free


def graph_notes(ensemble: Ensemble) -> list[str]:
    """Tell what a graph reads in another way than `foldstep predict`, one sentence each."""
    readings = {column.name: column for column in ensemble.first.reading.columns}
    used = [readings[name] for name in ensemble.columns]
    dates = [column.name for column in used if column.kind == "date"]
    clocks = [column.name for column in used if column.is_clock]
    categories = [column.name for column in used if column.kind == "category"]
    notes = []
    if dates:
        notes.append(f"Dates are given as seconds since 1970 in UTC, as float64: {', '.join(dates)}.")
    if clocks:
        notes.append(f"Times of day and durations are given as seconds, as float64: {', '.join(clocks)}.")
    if categories:
        notes.append(
            "Texts are compared letter by letter, without blanks around them, and an empty one is missing: "
            f"{', '.join(categories)}."
        )
    return notes


def _raw(graph: Graph, columns: Columns, predictor: Predictor) -> Node:
    layers = [
        {name: graph.constant(array, np.float32) for name, array in arrays.items()} for arrays in prepared(predictor)
    ]
    found: Node = forward(
        GraphOps(graph), predictor.hp, layers, columns.matrix(predictor.preprocessor), predictor.stage
    )
    return found


def _mean(graph: Graph, ensemble: Ensemble, raws: list[Node], *, is_corrected: bool) -> Node:
    answers = [
        answer(GraphOps(graph), predictor, raw, is_corrected=is_corrected)
        for predictor, raw in zip(ensemble.predictors, raws, strict=True)
    ]
    found: Node = weighted_mean(answers, ensemble.shares)
    return found


def _outputs(graph: Graph, columns: Columns, ensemble: Ensemble, raws: list[Node]) -> Iterator[tuple[Node, int | None]]:
    """Yield the outputs in the order of `output_names`, with their columns; None for a vector."""
    first, ops = ensemble.first, GraphOps(graph)
    plain = _mean(graph, ensemble, raws, is_corrected=False)
    if first.classes_of_labels:
        for t, classes in enumerate(first.classes_of_labels):
            yield _named(graph, (ops.vector(plain, t) > 0.5).cast(np.int64), classes), None
        yield plain, len(first.classes_of_labels)
    elif first.classes is not None:
        corrected = _mean(graph, ensemble, raws, is_corrected=ensemble.is_correctable)
        shares = tempered(ops, corrected, ensemble.adjustments.temperature)
        yield _named(graph, _class_index(graph, ensemble, plain, shares), first.classes), None
        yield shares, len(first.classes)
    else:
        for name in first.exposure_names:
            exposure = columns.number(name)
            plain = plain * ops.where(exposure >= 0.0, exposure, np.nan)
        yield (ops.vector(plain, 0), None) if first.is_one_value else (plain, first.target.n_outputs)


def _class_index(graph: Graph, ensemble: Ensemble, plain: Node, shares: Node) -> Node:
    """Choose the most probable class as training weighted them, or the one that the threshold gives."""
    threshold = ensemble.adjustments.threshold
    if threshold is None:
        return graph("ArgMax", plain, dtype=np.int64, axis=1, keepdims=0)
    return (GraphOps(graph).vector(shares, 1) > threshold).cast(np.int64)


def _named(graph: Graph, index: Node, classes: tuple[Label, ...]) -> Node:
    """Name classes by their indices: whole numbers and numbers as such where all are, else as text."""
    kinds: set[type[Any]] = {type(label) for label in classes}
    is_whole = kinds == {int} and all(abs(int(label)) < 1 << 63 for label in classes)
    is_number = kinds <= {int, float}
    dtype: Any = np.int64 if is_whole else np.float64 if is_number else object
    labels = np.array([label if is_number else str(label) for label in classes], dtype=dtype)
    return GraphOps(graph).gather(graph.constant(labels, dtype), index)
