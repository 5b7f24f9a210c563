"""The file of results: one row for each side of each split; what is there is not measured again."""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.report import machine

Row = dict[str, Any]
Key = tuple[Any, ...]


class Results:
    """The rows of a file, kept on disk after each.

    Attributes:
        rows: all of them, in the order in which they were measured.

    Args:
        path: of the JSON file; made with the first row.
        keys: fields whose values together name a row.
        benchmark: name that a new file gets.
    """

    def __init__(self, path: Path, keys: tuple[str, ...], benchmark: str) -> None:
        self.path, self._keys = path, keys
        stored = json.loads(path.read_text()) if path.is_file() else {}
        self._benchmark: str = stored.get("benchmark", benchmark)
        self._machines: list[Row] = stored.get("machines", [])
        self.rows: list[Row] = stored.get("rows", [])
        self._known = {self._key(row) for row in self.rows}

    def has(self, row: Row) -> bool:
        """Tell whether a row with these keys was measured."""
        return self._key(row) in self._known

    def add(self, row: Row) -> None:
        """Keep a row, with the date and the number of the machine's description."""
        described = machine()
        if described not in self._machines:
            self._machines.append(described)
        where = {"machine": self._machines.index(described), "date": datetime.now(UTC).date().isoformat()}
        self.rows.append(row | where)
        self._known.add(self._key(row))
        self._write()

    def fill(self, todo: Sequence[Callable[[], Sequence[Row]]], processes: int) -> None:
        """Measure in processes, and keep the rows of each task as soon as they are there.

        Args:
            todo: the tasks, which can be sent to a new process.
            processes: tasks that are measured at once.
        """
        fresh = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(processes, mp_context=fresh) as pool:
            running = [pool.submit(task) for task in todo]
            for done, future in enumerate(as_completed(running), 1):
                for row in future.result():
                    self.add(row)
                print(f"{done} of {len(todo)}: {future.result()}", file=sys.stderr, flush=True)

    def _key(self, row: Row) -> Key:
        return tuple(row.get(key) for key in self._keys)

    def _write(self) -> None:
        """Replace the file at once; a row has a line of its own."""
        lines = ",\n".join("    " + json.dumps(row) for row in self.rows)
        head = json.dumps({"benchmark": self._benchmark, "machines": self._machines}, indent=2)[:-2]
        self.path.parent.mkdir(parents=True, exist_ok=True)
        new = self.path.with_suffix(".new")
        new.write_text(f'{head},\n  "rows": [\n{lines}\n  ]\n}}\n')
        os.replace(new, self.path)
