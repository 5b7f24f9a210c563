"""Files that `predict` reads and writes: standard input as a file, predictions as CSV or Parquet."""

from __future__ import annotations

import csv
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO, Any

from foldstep.options import no_file
from foldstep.service.contract.errors import Fault, InvalidInput

_ENDINGS = (".csv", ".parquet")


@contextmanager
def input_file(file: str) -> Iterator[Path]:
    """Yield the path of the file; for `-` that of a temporary file with all of standard input.

    Raises:
        InvalidInput: there is no such file.
    """
    if file != "-":
        if not Path(file).exists():
            raise no_file(Path(file))
        yield Path(file)
        return
    with NamedTemporaryFile(prefix="foldstep-stdin-") as spool:
        shutil.copyfileobj(sys.stdin.buffer, spool)
        spool.flush()
        yield Path(spool.name)


def check_output(path: Path, *, force: bool) -> None:
    """Refuse, before anything is predicted, a file that cannot or should not be written.

    Raises:
        InvalidInput: its ending is unknown, its folder is missing, or it exists and `force` is not given.
    """
    if path.suffix.lower() not in _ENDINGS:
        fault = Fault(code="bad_name", path="out", expected="a name that ends in .csv or .parquet", got=path.name)
        raise InvalidInput(f"Predictions are written as CSV or Parquet, by the file's ending: {fault}.", faults=[fault])
    if not path.parent.is_dir():
        raise InvalidInput(f"There is no folder {path.parent} for {path.name}; make it first.")
    if path.is_dir() or (path.exists() and not force):
        raise InvalidInput(f"{path} exists already; name another file, or give --force to replace it.")


def write_file(path: Path, columns: Mapping[str, list[Any]]) -> None:
    """Write columns as CSV or Parquet, by the file's ending; whole, or not at all.

    Raises:
        InvalidInput: the disk refuses it.
    """
    try:
        _replace(path, columns)
    except OSError as error:
        raise InvalidInput(f"{path} cannot be written: {error.strerror or error}.") from None


def _replace(path: Path, columns: Mapping[str, list[Any]]) -> None:
    mode = 0o666 & ~_umask()
    with NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}-", delete=False) as draft:
        draft_path = Path(draft.name)
    try:
        if path.suffix.lower() == ".parquet":
            _write_parquet(draft_path, columns)
        else:
            with draft_path.open("w", encoding="utf-8", newline="") as text:
                write_csv(text, columns)
        draft_path.chmod(mode)
        os.replace(draft_path, path)
    except BaseException:
        draft_path.unlink(missing_ok=True)
        raise


def write_csv(text: IO[str], columns: Mapping[str, list[Any]]) -> None:
    """Write columns as CSV: numbers with all their digits, an empty cell for None."""
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))


def _write_parquet(path: Path, columns: Mapping[str, list[Any]]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({name: _array(cells) for name, cells in columns.items()}), path)


def _array(cells: list[Any]) -> Any:
    import pyarrow as pa

    if any(isinstance(cell, str) for cell in cells):
        return pa.array(cells, pa.string())
    is_whole = cells and all(isinstance(cell, int) for cell in cells)
    return pa.array(cells, pa.int64() if is_whole else pa.float64())


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
