"""How files are laid out: delimiters, headers, lines that are no rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from foldstep.service.contract.errors import DatasetUnreadable
from foldstep.service.data.read import read_file
from tests.service.data.tables import codes, describe, listed, read, refused

LAID_OUT: dict[str, tuple[str, dict[str, list[Any]]]] = {
    "sep line": ("sep=;\na;b\n1,5;x\n2,5;y\n", {"a": [1.5, 2.5], "b": ["x", "y"]}),
    "a comma in a name": ("Preis, EUR;Menge\n1,5;2\n2,5;3\n", {"Preis, EUR": [1.5, 2.5], "Menge": [2.0, 3.0]}),
    "several answers in a cell": ("q,n\na;b,1\nb,2\n", {"q": ["a;b", "b"], "n": [1.0, 2.0]}),
    "pipes": ("t|level\n1|INFO\n2|WARN\n", {"t": [1.0, 2.0], "level": ["INFO", "WARN"]}),
    "tabs with commas": ("t\twhat\n1\ta, b\n2\tc, d\n", {"t": [1.0, 2.0], "what": ["a, b", "c, d"]}),
    "row names of R": ('"mpg","cyl"\n"Mazda",21,6\n"Fiat",22.5,4\n',
                       {"column_1": ["Mazda", "Fiat"], "mpg": [21.0, 22.5], "cyl": [6.0, 4.0]}),
    "a delimiter at every end": ("a,b,\n1,2,\n3,4,\n", {"a": [1.0, 3.0], "b": [2.0, 4.0], "column_3": [None, None]}),
    "a delimiter at every row's end": ("a,b\n1,2,\n3,4,\n",
                                       {"a": [1.0, 3.0], "b": [2.0, 4.0], "column_3": [None, None]}),
    "old line ends": ("a,b\r1,2\r3,4\r", {"a": [1.0, 3.0], "b": [2.0, 4.0]}),
    "line ends in cells": ('a,b\n"x\ny",1\n"z",2\n', {"a": ["x\ny", "z"], "b": [1.0, 2.0]}),
    "quotes within cells": ('a,b\n1,5" pipe\n2,3" pipe\n', {"a": [1.0, 2.0], "b": ['5" pipe', '3" pipe']}),
    "spaces around names": (" a , b c \n 1 , x \n 2 , y \n", {"a": [1.0, 2.0], "b c": ["x", "y"]}),
    "years as names": ("country,2019,2020\nde,1,2\nfr,2,3\n",
                       {"country": ["de", "fr"], "2019": [1.0, 2.0], "2020": [2.0, 3.0]}),
    "wavelengths as names": ("400,410,420\n5,116,74\n3,78,50\n",
                             {"400": [5.0, 3.0], "410": [116.0, 78.0], "420": [74.0, 50.0]}),
    "names in angles": ("<TICKER>,<OPEN>\nA,1.5\nB,2.5\n", {"<TICKER>": ["A", "B"], "<OPEN>": [1.5, 2.5]}),
    "a long cell": ("a,b\n" + "x" * 200_000 + ",1\ny,2\n", {"a": ["x" * 200_000, "y"], "b": [1.0, 2.0]}),
}  # fmt: skip


@pytest.mark.parametrize(("content", "expected"), LAID_OUT.values(), ids=LAID_OUT)
def test_how_files_are_laid_out(tmp_path: Path, content: str, expected: dict[str, list[Any]]) -> None:
    table = read(tmp_path, content)
    assert {name: listed(column.values) for name, column in table.columns.items()} == expected


def test_names_that_a_header_lacks_are_said(tmp_path: Path) -> None:
    assert "row_names" in codes(describe(tmp_path, LAID_OUT["row names of R"][0]))
    assert "trailing_delimiter" in codes(describe(tmp_path, LAID_OUT["a delimiter at every row's end"][0]))
    assert codes(describe(tmp_path, LAID_OUT["a delimiter at every end"][0])) == {"empty"}
    assert "unnamed_column" in codes(describe(tmp_path, ",a\nx,1\ny,2\n"))


REFUSED: dict[str, tuple[str, str, str]] = {
    "iris without names": ("5.1,3.5,setosa\n4.9,3.0,setosa\n5.0,3.1,virginica\n", "no_header", "5.1, 3.5, setosa"),
    "adult without names": ("39, State-gov, 77516\n50, Private, 1234\n38, State-gov, 999\n", "no_header", "State-gov"),
    "mushrooms without names": ("p,x,s\ne,x,y\np,b,s\ne,x,s\n", "no_header", "p, x, s"),
    "counts without names": ("5,116,74\n3,78,50\n10,115,0\n", "no_header", "5, 116, 74"),
    "a title": ("Sales 2024\na,b,c\n1,2,3\n4,5,6\n7,8,9\n", "title_lines", "Sales 2024"),
    "Markdown": ("| a | b |\n|---|---|\n| 1 | x |\n| 2 | y |\n", "two_headers", "---"),
    "the same name twice": ("a,a\n1,2\n3,4\n", "duplicate_column", "a"),
    "a short row": ("a,b\n1,2\n3\n", "ragged_row", "1 in line 3"),
    "a note at the end": ("a,b\n1,2\n3,4\nSource: Eurostat\n", "ragged_row", "1 in line 4"),
    "spaces between": ("a b c\n1 2 3\n4 5 6\n", "not_separated", "a b c"),
    "one column": ("a\n1\n2\n", "one_column", "'a'"),
    "one row": ("a,b\n1,2\n", "one_row", "single row"),
    "names alone": ("a,b\n", "header_only", "without rows"),
    "a quote that stays open": ('a,b\n1,x\n2,"y\n3,z\n4,w\n', "open_quote", "y"),
    "too many columns": (",".join(f"c{i}" for i in range(100_000)) + "\n" + ",".join("1" * 100_000) + "\n",
                         "too_many_columns", "100,000 columns"),
}  # fmt: skip


@pytest.mark.parametrize(("content", "code", "got"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_layout(tmp_path: Path, content: str, code: str, got: str) -> None:
    fault = refused(tmp_path, content)
    assert fault.code == code
    assert got in str(fault.got)
    assert fault.hint or code in ("one_row", "header_only")


def test_many_columns_are_read(tmp_path: Path) -> None:
    n = 1_000
    content = "\n".join([",".join(["id", *(f"gene{i}" for i in range(n))])]
                        + [",".join([f"s{r}", *(str(r * i % 7) for i in range(n))]) for r in range(30)])  # fmt: skip
    description = describe(tmp_path, content)
    assert len(description.columns) == n + 1
    assert description.columns[5].kind == "number"


def test_a_header_that_is_none_is_named_as_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "long.csv"
    path.write_text(f"{'x' * 140_000},b\n1,2\n3,4\n")
    with pytest.raises(DatasetUnreadable) as caught:
        read_file(path)
    (fault,) = caught.value.faults
    assert fault.code == "long_column_name"
    assert "a header with one of 140,000" in str(fault)


def test_a_header_may_be_longer_than_a_field_of_pythons_csv(tmp_path: Path) -> None:
    names = [f"column_{i:04d}_{'x' * 1400}" for i in range(100)]
    path = tmp_path / "wide.csv"
    path.write_text("\n".join([",".join(names), *[",".join(["1", "2"] * 50)] * 3]))
    assert list(read_file(path).columns) == names
