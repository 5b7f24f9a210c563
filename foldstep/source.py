"""What a search is made of: a spec file, or a table alone, for which a spec without parameters is written here."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from shlex import quote
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple, Self

from foldstep.client import Foldstep
from foldstep.connect import connect
from foldstep.local import local_master
from foldstep.options import no_file, read_spec
from foldstep.sending import data_file, data_folders, dataset_name, with_data_sent, with_dataset
from foldstep.service.contract.errors import Fault, InvalidInput, Unauthorized, Unavailable
from foldstep.service.data.recognise import is_table
from foldstep.service.data.sources import BUNDLED

_MOST_LISTED = 20
"""Columns that are named where the target is missing."""


class Source(NamedTuple):
    """The spec of a search, as it would be submitted, and where its data file is looked for.

    Attributes:
        content: the spec.
        path: the spec's file, `-` for standard input and for a spec that is in no file.
    """

    content: dict[str, Any]
    path: str

    @classmethod
    def of_spec(cls, path: str) -> Self:
        """Read a spec file.

        Raises:
            InvalidInput: it cannot be read.
        """
        return cls(read_spec(path), path)

    def placed(self) -> tuple[dict[str, Any], list[Path]]:
        """Write the spec for a master on this machine: its data file becomes an absolute path.

        Returns:
            The spec, and the folders that the master may read data files from.
        """
        roots = data_folders(self.path)
        file = data_file(self.content, self.path)
        if file is None:
            return self.content, roots
        return with_dataset(self.content, str(file)), [*roots, file.parent]  # the user may read any file that they name


def source_of(path: str, targets: Sequence[str], said: Mapping[str, Any]) -> Source:
    """Read a spec file, or make the spec of a table.

    Args:
        path: of the spec or the table, or the name of a bundled set.
        targets: the columns to predict; none for a spec, which has its own.
        said: further keys for a table, as `metric`; those that are None are left out.

    Raises:
        InvalidInput: neither can be read; the target is missing; or a spec file has its keys on the command line.
    """
    said = {key: value for key, value in said.items() if value is not None}
    if not is_table(path):
        _refuse_beside_a_spec(path, targets, said)
        return Source.of_spec(path)
    if not Path(path).exists() and path not in BUNDLED:
        raise no_file(Path(path))
    if not targets and path not in BUNDLED:
        raise _no_target(path)
    data = {"dataset": path} | ({"target": list(targets) if len(targets) > 1 else targets[0]} if targets else {})
    return Source({"name": search_name(path), "data": data, **said}, "-")


def _refuse_beside_a_spec(path: str, targets: Sequence[str], said: Mapping[str, Any]) -> None:
    """Refuse keys of a spec on the command line beside a spec file: it would not be the spec of its search."""
    given = {**({"data.target": targets} if targets else {}), **said}
    if given:
        key = next(iter(given))
        option = {"data.target": "--target", "budget": "--time"}.get(key, f"--{key}")
        fault = Fault(code="contradiction", path=key, expected=f"{option} with a table alone", got="a spec file")
        raise InvalidInput(
            f"{option} is for a table; {path} is taken as a spec: write it there, as {key}.", faults=[fault]
        )


def _no_target(path: str) -> InvalidInput:
    columns = _columns(path)
    more = f" and {len(columns) - _MOST_LISTED:,} more" if len(columns) > _MOST_LISTED else ""
    fault = Fault(code="missing", path="data.target", expected="the name of the column to predict")
    return InvalidInput(
        f"Say which column to predict: --target COLUMN. The columns of {path} are {', '.join(columns[:_MOST_LISTED])}"
        f"{more}; for the last one: --target {quote(columns[-1])}.",
        faults=[fault],
    )


def _columns(path: str) -> list[str]:
    """Read the names of a table's columns, in its order.

    Raises:
        DatasetUnreadable: it is no table.
    """
    from foldstep.service.data.ingest import ingest

    with TemporaryDirectory(prefix="foldstep-") as folder:
        return [column.name for column in ingest(Path(path), into=Path(folder)).columns]


def search_name(path: str) -> str:
    """Make the name of a search from that of its table: without endings, as a spec may have it."""
    stem = re.sub(r"(\.(gz|csv|tsv|tab|txt|parquet|pq))+$", "", dataset_name(Path(path).name), flags=re.IGNORECASE)
    return re.sub(r"[^A-Za-z0-9._-]", "-", stem)[:64] or "table"


@contextmanager
def some_master(
    source: Source, url: str | None, token: str | None, data_dir: Path
) -> Iterator[tuple[Foldstep, dict[str, Any]]]:
    """Connect to the running master, or start one for the block if none serves `data_dir`.

    Yields:
        The master, and the spec as that master can read its data.
    """
    master = _running_master(url, token, data_dir)
    if master is not None:
        yield master, with_data_sent(master, source.content, source.path)
        return
    content, roots = source.placed()
    with local_master(data_dir, roots) as own:
        yield own, content


def _running_master(url: str | None, token: str | None, data_dir: Path) -> Foldstep | None:
    if url is not None:
        return connect(url, token, data_dir)
    with suppress(Unavailable, Unauthorized):
        master = connect(url, token, data_dir)
        master.searches()  # a master that was killed leaves its address behind
        return master
    return None
