"""What estimators are given, as the table of a search: features, target and weights in one Parquet file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from foldstep.frames import as_arrow
from foldstep.service.contract.reading import MISSING_WORDS

NO_WORD_IS_MISSING = [word for word in MISSING_WORDS if word]
"""A value that is missing in memory is NaN or None; `NA` may be Namibia."""


def plain(value: Any) -> Any:
    """Replace numbers of NumPy, which users take from arrays and distributions, by those of Python."""
    if isinstance(value, Mapping):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    return value.item() if isinstance(value, np.generic) else value


def is_frame(X: Any) -> bool:
    """Tell whether features have names: a DataFrame of pandas or polars."""
    return hasattr(X, "columns") and hasattr(X, "shape") and not isinstance(X, np.ndarray)


def as_matrix(X: Any, **checks: Any) -> npt.NDArray[Any]:
    """Check features without names as scikit-learn does, and make an array of them: numbers, or objects beside text.

    Raises:
        ValueError: they are no matrix, are empty, complex or infinite.
        TypeError: they are sparse.
    """
    from sklearn.utils import check_array

    if isinstance(X, list) and np.asarray(X).dtype.kind in "US":
        X = np.array(X, dtype=object)  # numbers beside text would become text
    matrix: npt.NDArray[Any] = check_array(X, dtype=None, ensure_all_finite="allow-nan", **checks)
    if matrix.dtype.kind in "biuf":
        return matrix.astype(np.float64)
    return matrix.astype(object)


def features_of(X: Any, names: Sequence[str]) -> pa.Table:
    """Convert checked features.

    Args:
        X: a DataFrame, or a matrix as `as_matrix` makes it.
        names: of the columns; those of a DataFrame are replaced by them.

    Raises:
        ValueError: a number is infinite.
        InvalidInput: two columns have one name.
    """
    table = as_arrow(X, names)
    for name, column in zip(names, table.columns, strict=True):
        if pa.types.is_floating(column.type) and pc.any(pc.is_inf(column)).as_py():
            raise ValueError(f"Input X contains infinity in the column {name}; Foldstep takes NaN as missing.")
    return table.rename_columns(list(names))


def free_name(wanted: str, taken: Sequence[str]) -> str:
    """Choose a name for a further column that no column has."""
    while wanted in taken:
        wanted = f"{wanted}_"
    return wanted


def is_text(column: pa.ChunkedArray) -> bool:
    """Tell whether a column holds text, or the categories of a DataFrame."""
    kind = column.type
    return bool(
        pa.types.is_dictionary(kind)
        or pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_string_view(kind)
    )


@dataclass(frozen=True)
class Labels:
    """How classes are written into the table.

    Attributes:
        written: one value a class: what it is called in the model.
        is_coded: whether the model calls them by their numbers, since their own names would be read as others.
    """

    written: list[str] | list[int]
    is_coded: bool

    @classmethod
    def of(cls, classes: npt.NDArray[Any]) -> Labels:
        """Choose how classes are written: as they are where they are whole numbers or words, else by number."""
        values = classes.tolist()
        if classes.dtype.kind in "iuf" and all(int(value) == value for value in values):
            return cls([int(value) for value in values], is_coded=False)
        if all(isinstance(value, str) and _is_word(value) for value in values):
            return cls(list(values), is_coded=False)
        return cls(list(range(len(values))), is_coded=True)


def _is_word(text: str) -> bool:
    """Tell whether a text stays what it is when a table is read: it begins with a letter and has no blank at an end."""
    return text[:1].isalpha() and text == text.strip() and text.isprintable() and text.lower() not in (
        *MISSING_WORDS, "true", "false", "inf", "infinity",
    )  # fmt: skip


def write_table(
    path: Path, features: pa.Table, target: tuple[str, npt.NDArray[Any]], weight: npt.NDArray[np.float64] | None
) -> dict[str, Any]:
    """Write the table of a search.

    Args:
        path: of the Parquet file.
        features: the features, (rows, features).
        target: its name and its values, (rows,).
        weight: how much each row counts, (rows,); None where all count alike.

    Returns:
        The `data` of the spec.
    """
    names = features.column_names
    name = free_name(target[0], names)
    table = features.append_column(name, pa.array(target[1]))
    said: dict[str, Any] = {"target": name}
    if weight is not None:
        said["weight"] = free_name("sample_weight", table.column_names)
        table = table.append_column(said["weight"], pa.array(weight))
    return {**said, **write_columns(path, table)}


def write_columns(path: Path, table: pa.Table) -> dict[str, Any]:
    """Write a table in memory, and return how it is read: values are what they are, and text is a category."""
    types = {column: "category" for column in table.column_names if is_text(table[column])}
    pq.write_table(table, path)
    return {"dataset": str(path), "not_missing": NO_WORD_IS_MISSING, **({"types": types} if types else {})}
