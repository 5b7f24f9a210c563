"""Predict the rows that a client has sent; the networks of the last few searches stay in memory."""

from __future__ import annotations

import math
from collections import OrderedDict
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from foldstep.answering.rows import check_number, read_rows
from foldstep.ensemble import Ensemble
from foldstep.prediction import check_has_classes, predict_file
from foldstep.service.contract.prediction import ChosenFiles, Predicted, PredictionRequest

MOST_KEPT = 4
"""Choices of networks, of a search or of one of its trials, that stay in memory."""
_kept: OrderedDict[tuple[object, ...], Ensemble] = OrderedDict()


def predict(asked: PredictionRequest) -> Predicted:
    """Predict rows as `foldstep predict` does.

    Raises:
        InvalidInput: as `predict_file`, or the rows are no rows.
        DatasetUnreadable: the file is no table.
        TooLarge: there are more rows than the master predicts at once.
    """
    ensemble, options = loaded(asked.chosen), asked.options
    if options.proba:
        check_has_classes(ensemble, "leave out proba")
    source, notes = _source(asked, ensemble)
    told = predict_file(
        ensemble, source, proba=options.proba, weighted=options.weighted, uncalibrated=options.uncalibrated,
        ids=options.id, interval=options.interval, check=partial(check_number, most=asked.most_rows),
    )  # fmt: skip
    columns, n_infinite = _sendable(told.columns)
    infinite = f"{n_infinite:,} predictions are infinite, for which JSON has no number: they are null."
    return Predicted(
        search=asked.chosen.search,
        trials=[committee.trial for committee in asked.chosen.committees],
        chosen=asked.chosen.words,
        n_rows=len(next(iter(columns.values()))),
        columns=columns,
        notes=[*notes, *told.notes, *([infinite] if n_infinite else [])],
    )


def _source(asked: PredictionRequest, ensemble: Ensemble) -> tuple[Path | pa.Table, list[str]]:
    if asked.is_json:
        return read_rows(asked.file.read_bytes(), ensemble.columns, asked.most_rows)
    return asked.file, []


def loaded(chosen: ChosenFiles) -> Ensemble:
    """Load networks, or find them in memory; those of a search whose ensemble has changed are others.

    Raises:
        InvalidInput: a checkpoint is damaged, or gone.
    """
    key = (chosen.model_dump_json(), *(_written(file) for c in chosen.committees for file in c.checkpoints))
    if key not in _kept:
        _kept[key] = Ensemble.load(chosen.committees, chosen.adjustments)
        while len(_kept) > MOST_KEPT:
            _kept.popitem(last=False)
    _kept.move_to_end(key)
    return _kept[key]


def _written(file: Path) -> tuple[int, int] | None:
    """Tell a file from another of the same name, which a restored backup may have."""
    try:
        found = file.stat()
    except OSError:  # loading it says so
        return None
    return found.st_mtime_ns, found.st_size


def _sendable(columns: dict[str, list[Any]]) -> tuple[dict[str, list[Any]], int]:
    """Replace infinite predictions by None, and count them."""
    n = 0
    for name, cells in columns.items():
        if any(isinstance(cell, float) and math.isinf(cell) for cell in cells):
            kept = [None if isinstance(cell, float) and math.isinf(cell) else cell for cell in cells]
            n += sum(after is None and before is not None for before, after in zip(cells, kept, strict=True))
            columns = {**columns, name: kept}
    return columns, n
