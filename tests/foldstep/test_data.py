"""`foldstep data`: the report on a table, from a file, a bundled set, or a master."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.foldstep.conftest import Desk

ROWS = [
    f"{i % 7}.{i % 10},{'-' if i == 3 else i * 0.5},{(i * 7) % 12 + 1:02d}/{i % 12 + 1:02d}/2024,{i % 2}"
    for i in range(60)
]
TABLE = "size,stray,day,y\n" + "\n".join(ROWS) + "\n"


@pytest.fixture(scope="module")
def table(desk: Desk) -> str:
    return desk.write("table.csv", TABLE)


def test_columns_and_findings_are_told(desk: Desk, table: str) -> None:
    done = desk("data", table, "--target", "y", COLUMNS="80")
    assert done.returncode == 0, done.stderr
    assert "60 rows, 4 columns, target y" in done.stdout
    words = " ".join(done.stdout.split())
    assert "! stray is numbers but for 1 cell ('-'), read as missing. [data.types: {stray: category}" in words
    assert "day and month could be" in words
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_several_targets_are_told(desk: Desk, table: str) -> None:
    assert desk("datasets", "add", "for-two", table).returncode == 0
    for file in (table, "for-two"):
        done = desk("data", file, "--target", "y", "--target", "size", COLUMNS="80")
        assert "60 rows, 4 columns, targets y, size" in done.stdout, done.stderr


def test_what_is_said_overrules(desk: Desk, table: str) -> None:
    def kinds(*words: str) -> dict[str, str]:
        done = desk("data", table, "--json", *words)
        assert done.returncode == 0, done.stderr
        return {column["name"]: column["kind"] for column in json.loads(done.stdout)["data"]["columns"]}

    assert kinds() == {"size": "number", "stray": "number", "day": "date", "y": "number"}
    assert kinds("--type", "stray=category", "--type", "y=category", "--dates", "month_first") == {
        "size": "number", "stray": "category", "day": "date", "y": "category",
    }  # fmt: skip
    codes = [
        f["code"] for f in json.loads(desk("data", table, "--json", "--dates", "day_first").stdout)["data"]["findings"]
    ]
    assert "open_dates" not in codes
    assert "open_dates" in [f["code"] for f in json.loads(desk("data", table, "--json").stdout)["data"]["findings"]]


def test_bundled_and_registered_data(desk: Desk, table: str) -> None:
    assert "150 rows" in desk("data", "iris").stdout
    added = desk("datasets", "add", "known", table)
    assert added.returncode == 0, added.stderr
    assert "60 rows, 4 columns, target y" in desk("data", "known", "--target", "y").stdout


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (("nowhere.csv",), "nowhere.csv"),
        (("TABLE", "--target", "z"), "There is no column z"),
        (("TABLE", "--type", "day"), "COLUMN=KIND"),
        (("TABLE", "--type", "day=time"), "data.types.day"),
        (("TABLE", "--type", "dya=date"), "did you mean day?"),
        (("TABLE", "--decimal", ";"), "data.decimal"),
        (("TABLE", "--encoding", "klingon"), "klingon"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(desk: Desk, table: str, words: tuple[str, ...], part: str) -> None:
    done = desk("data", *(table if word == "TABLE" else word for word in words))
    assert done.returncode == 1
    assert part in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_many_findings_of_a_kind_are_counted(desk: Desk, tmp_path: Path) -> None:
    names = [f"x{i}" for i in range(30)]
    rows = [",".join("-" if row == 5 else f"{row * 0.3 + i}" for i in range(30)) for row in range(40)]
    file = tmp_path / "wide.csv"
    file.write_text(",".join(names) + "\n" + "\n".join(rows) + "\n")
    words = " ".join(desk("data", str(file)).stdout.split())
    assert words.count("read as missing") == 3
    assert "The same of 27 more: x3, x4" in words
