"""The tables of the benchmark, and the rows that are split: a whole table, or a sample of a file."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn import datasets

from foldstep.models.catalog.tasks import Task

TEST_SHARE = 0.2
SAMPLES = (300, 1000)
SPLITS = 5


@dataclass(frozen=True)
class File:
    """A data file, or one of scikit-learn's sets, with its target; `n_rows` are those of the whole table."""

    name: str
    target: str
    task: Task
    n_rows: int

    @property
    def title(self) -> str:
        """Name without endings."""
        return self.name.partition(".")[0]

    @property
    def metric(self) -> str:
        """Metric of the errors that are compared: rmse, or accuracy."""
        return "rmse" if self.task == "regression" else "accuracy"

    @property
    def search_metric(self) -> str:
        """Metric of a search: rmse, or log_loss: on some hundred rows accuracy is too coarse to tell trials apart."""
        return "rmse" if self.task == "regression" else "log_loss"


FILES = (
    File("concrete.csv", "strength", "regression", 1030),
    File("german_credit.csv", "credit_risk", "classification", 1000),
    File("phoneme.csv.gz", "target", "classification", 5404),
    File("parkinsons.csv.gz", "total_updrs", "regression", 5875),
    File("bike.csv.gz", "log_count", "regression", 17379),
    File("house_16h.csv.gz", "target", "regression", 22784),
    File("adult.csv.gz", "income", "classification", 32561),
)
BUNDLED = (
    File("diabetes", "target", "regression", 442),
    File("iris", "target", "classification", 150),
    File("wine", "target", "classification", 178),
    File("breast_cancer", "target", "classification", 569),
)
"""Sets that scikit-learn brings along: small tables, of which no samples are drawn."""


@dataclass(frozen=True)
class Case:
    """One split of the rows of a file.

    Attributes:
        sample: rows that are drawn from the file before they are split; 0 for all of them.
        split: number of the split, which is the seed of the sample and of the split.
        is_development: split the training part once more, and leave the test rows out altogether.
    """

    file: File
    sample: int
    split: int
    is_development: bool = False

    @property
    def n_rows(self) -> int:
        """Number of rows before the split."""
        return self.sample or self.file.n_rows

    @property
    def n_train(self) -> int:
        """Number of rows for training."""
        kept = 1 - TEST_SHARE
        return round(self.n_rows * (kept * kept if self.is_development else kept))


def cases(
    files: Sequence[File], samples: Sequence[int], splits: int, *, is_development: bool = False
) -> Iterator[Case]:
    """List all splits; a sample that is not smaller than its file is the file itself, and left out."""
    for sample in samples:
        for file in files:
            if sample == 0 or (sample < file.n_rows and file not in BUNDLED):
                yield from (Case(file, sample, split, is_development) for split in range(splits))


def files_named(name: str | None, folder: Path) -> list[File]:
    """Find the files to measure: one by its name, with or without its endings, or all.

    Raises:
        SystemExit: no file has this name, or the folder lacks one.
    """
    known = (*FILES, *BUNDLED)
    found = [file for file in known if name in (None, file.name, file.title)]
    if not found:
        raise SystemExit(f"There is no file {name}; --only takes one of: {', '.join(f.title for f in known)}.")
    if missing := [file.name for file in found if file not in BUNDLED and not (folder / file.name).is_file()]:
        raise SystemExit(f"The folder {folder} has no {', '.join(missing)}; --data takes the folder of the data files.")
    return found


Row = list[str]


@dataclass(frozen=True)
class Table:
    """The cells of a file as they are written."""

    names: list[str]
    rows: list[Row]


@dataclass(frozen=True)
class Split:
    """A training part, and test rows whose targets no side is given."""

    train: Table
    test: Table
    truth: list[str]

    def write(self, folder: Path) -> None:
        """Write `train.csv` with the target, and `test.csv` without it."""
        for name, table in (("train", self.train), ("test", self.test)):
            with (folder / f"{name}.csv").open("w", newline="") as file:
                csv.writer(file).writerows([table.names, *table.rows])


def read(file: File, folder: Path) -> Table:
    """Read a table; it must have the rows that are stated for it."""
    names, rows = _bundled(file) if file in BUNDLED else _cells(folder / file.name)
    if len(rows) != file.n_rows:
        raise SystemExit(f"{file.name} has {len(rows)} rows; the benchmark is for the one with {file.n_rows}.")
    return Table(names, rows)


def _cells(path: Path) -> tuple[Row, list[Row]]:
    opener = gzip.open if path.name.endswith(".gz") else open
    with opener(path, "rt", newline="") as text:
        names, *rows = list(csv.reader(text))
    return names, rows


def _bundled(file: File) -> tuple[Row, list[Row]]:
    found = getattr(datasets, f"load_{file.name}")()
    cells = np.column_stack([found.data, found.target])
    return [*map(str, found.feature_names), file.target], [[repr(float(v)) for v in row] for row in cells]


def split(case: Case, table: Table) -> Split:
    """Draw the sample and split it; the classes are not kept in proportion."""
    order = np.random.default_rng([case.split, case.sample]).permutation(len(table.rows))[: case.sample or None]
    train, test = _cut(order.tolist())
    if case.is_development:
        train, test = _cut(train)
    target = table.names.index(case.file.target)
    without = [*table.names[:target], *table.names[target + 1 :]]
    unlabelled = [table.rows[i][:target] + table.rows[i][target + 1 :] for i in test]
    truth = [table.rows[i][target] for i in test]
    return Split(Table(table.names, [table.rows[i] for i in train]), Table(without, unlabelled), truth)


def _cut(order: list[int]) -> tuple[list[int], list[int]]:
    n_test = round(TEST_SHARE * len(order))
    return order[n_test:], order[:n_test]


def error_of(task: Task, truth: Sequence[str], predicted: Sequence[str]) -> float:
    """Compute the error of predictions: rmse in the target's unit, or the share of wrong classes."""
    if task == "regression":
        differences = np.array(truth, dtype=float) - np.array(predicted, dtype=float)
        return float(np.sqrt(np.mean(differences**2)))
    return 1 - sum(a == b for a, b in zip(truth, predicted, strict=True)) / len(truth)
