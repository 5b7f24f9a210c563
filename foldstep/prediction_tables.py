"""Read the table to predict, a file or one in memory, as the training data of the networks was read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
from polars.exceptions import PanicException, PolarsError

from foldstep.earlier_reading import read_as_earlier
from foldstep.ensemble import Ensemble, Tables
from foldstep.models.checkpoint import CheckpointDamaged, reading_facts
from foldstep.prediction_notes import names_with
from foldstep.service.contract.errors import Fault, InvalidInput
from foldstep.service.contract.hints import nearest
from foldstep.service.contract.reading import AS_FOUND, ReadingOptions
from foldstep.service.data.read_as import TableAs, read_as
from foldstep.worker.predictor import Predictor


def read_tables(ensemble: Ensemble, source: Path | pa.Table, ids: Sequence[str] = ()) -> Tables:
    """Read a file, or an Arrow table, under each reading that the networks have: one, if they are of one search.

    Args:
        ensemble: the networks.
        source: a table with the columns of the training data; the target may be missing.
        ids: columns that are carried through as they are written.

    Raises:
        InvalidInput: the table lacks a column that the networks were trained with or that is to be carried through.
        DatasetUnreadable: the file is no table.
    """
    try:
        with reading_facts():
            tables = _read(ensemble.predictors, source, list(dict.fromkeys(ids)))
    except (CheckpointDamaged, PolarsError, PanicException) as error:
        name = source if isinstance(source, Path) else "The table"
        words = " ".join(str(error).split())
        raise InvalidInput(f"{name} cannot be read as the checkpoints say: {words}.") from error
    _check_columns(ensemble, tables[ensemble.first.reading], ids)
    return tables


def _read(predictors: Sequence[Predictor], source: Path | pa.Table, keep: Sequence[str]) -> Tables:
    if isinstance(source, Path) and not source.exists():
        raise InvalidInput(f"There is no file {source} to predict.")
    tables = {}
    for predictor in predictors:
        if predictor.reading not in tables:
            tables[predictor.reading] = _read_by(predictor, source, keep)
    return tables


def _read_by(predictor: Predictor, source: Path | pa.Table, keep: Sequence[str]) -> TableAs:
    if not predictor.has_reading:
        return read_as_earlier(source, predictor.reading, keep=keep)
    said = predictor.facts["context"]["data"].get("encoding")
    is_plain = said is None or not isinstance(source, Path) or _is_utf8(source)
    options = AS_FOUND if is_plain else ReadingOptions(encoding=said)
    return read_as(source, predictor.reading, keep=keep, options=options)


def _is_utf8(file: Path) -> bool:
    """Tell whether a file is UTF-8, though the training data's encoding was said; a packed one is taken to be not."""
    try:
        with file.open(encoding="utf-8") as text:
            while text.read(1 << 20):
                pass
    except (UnicodeDecodeError, OSError):
        return False
    return True


def _check_columns(ensemble: Ensemble, table: TableAs, ids: Sequence[str]) -> None:
    missing = [name for name in ensemble.columns if name not in table.names]
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
    return InvalidInput(f"The table lacks {what}: {listed}.{has}", faults=faults)
