"""Configurations of hyperparameters in files: CSV with a column for each, or a list in YAML or JSON."""

from __future__ import annotations

import csv
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from foldstep.models.catalog.hyperparameters import lookup
from foldstep.options import no_file
from foldstep.service.contract.document import load_document
from foldstep.service.contract.errors import Fault, InvalidInput
from foldstep.service.contract.fields import number_from_text
from foldstep.service.contract.names import listed

_OF_TABLES = {".csv": ",", ".tsv": "\t"}
_KEY = "configurations"


@dataclass(frozen=True)
class Configurations:
    """Configurations, in the order of their source.

    Attributes:
        rows: each a mapping of hyperparameters to values, without those that are empty.
        others: what stands beside them, as scores, for each row.
        notes: what was left out, one sentence each.
    """

    rows: list[dict[str, Any]]
    others: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def read_configurations(path: Path, names: Mapping[str, str] | None = None) -> Configurations:
    """Read a file.

    Args:
        path: of a CSV, YAML or JSON file.
        names: of the file for hyperparameters, to their names in a spec.

    Raises:
        InvalidInput: it cannot be read, or has no configurations.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise no_file(path) from None
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise InvalidInput(f"The configurations in {path} cannot be read: {reason}.") from None
    separator = _OF_TABLES.get(path.suffix.lower())
    rows = _rows_of_document(text, path) if separator is None else _rows_of_table(text, separator)
    renamed = names or {}
    found = split_rows([{renamed.get(name, name): value for name, value in row.items()} for row in rows])
    if not any(found.rows):
        expected = "a column for each hyperparameter, or in YAML and JSON a list of mappings"
        fault = Fault(code="no_configurations", path=str(path), expected=expected, got="none")
        raise InvalidInput(f"There are no configurations: {fault}.", faults=[fault])
    return found


def split_rows(rows: Sequence[Mapping[str, Any]]) -> Configurations:
    """Take hyperparameters and what stands beside them apart."""
    own = [{k: v for k, v in row.items() if lookup(k) is not None and v not in ("", None)} for row in rows]
    others = [{k: v for k, v in row.items() if lookup(k) is None} for row in rows]
    return Configurations(own, others)


def left_out_note(
    others: Sequence[Mapping[str, Any]], used: Collection[str] = (), hint: str = "a column is named as in a spec"
) -> list[str]:
    """Say which names are those of no hyperparameter, and are left out."""
    names = list(dict.fromkeys(name for row in others for name in row if name not in used))
    if not names:
        return []
    return [f"{len(names)} name(s) of no hyperparameter are left out: {listed(names)}; {hint}."]


def _rows_of_table(text: str, separator: str) -> list[dict[str, Any]]:
    reader = csv.DictReader(text.splitlines(), delimiter=separator)
    return [{name.strip(): _cell(cell) for name, cell in row.items() if name and name.strip()} for row in reader]


def _cell(text: str | None) -> Any:
    """Read a cell: a number, a list or a mapping as JSON has it, else text."""
    if text is None or not text.strip():
        return None
    try:
        value = number_from_text(text.strip())
        return json.loads(value) if isinstance(value, str) and value[0] in "[{" else value
    except ValueError:
        return text.strip()


def _rows_of_document(text: str, path: Path) -> list[dict[str, Any]]:
    value = load_document(text).value
    found = value.get(_KEY) if isinstance(value, dict) else value
    if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
        expected = f"a list of mappings, or {_KEY}: with one"
        fault = Fault(code="wrong_type", path=str(path), expected=expected, got=type(value).__name__)
        raise InvalidInput(f"There are no configurations: {fault}.", faults=[fault])
    return [{str(name): cell for name, cell in row.items()} for row in found]
