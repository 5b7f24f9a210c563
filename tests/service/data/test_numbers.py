"""Numbers as the world writes them: what each cell is, and what is said of it."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.service.data.tables import listed, read_cells

NUMBERS: dict[str, tuple[list[str], str, list[float | None], set[str]]] = {
    "Germany": (["1.234,50", "-0,25", "12"], ";", [1234.5, -0.25, 12.0], {"decimal_comma"}),
    "Germany, thousands alone": (["1.234.567", "999.000.000"], ";", [1234567.0, 999e6], {"thousands"}),
    "France": (["1\u202f234,5", "12,25", "-0,5"], ";", [1234.5, 12.25, -0.5], {"decimal_comma"}),
    "France, euros": (["1\u00a0234,50 €", "3,10 €"], ";", [1234.5, 3.1], {"decimal_comma", "unit"}),
    "Switzerland": (["1'234.50", "12.25"], ",", [1234.5, 12.25], {"thousands"}),
    "Switzerland, curved": (["1\u2019234.50", "12.25"], ",", [1234.5, 12.25], {"thousands"}),
    "India": (["12,34,567", "5,00,000", "12"], ",", [1234567.0, 500000.0, 12.0], {"thousands"}),
    "Brazil": (["R$ 1.234,56", "-R$ 5,00"], ";", [1234.56, -5.0], {"decimal_comma", "unit"}),
    "Sweden": (["1 234,5 kr", "−2,5 kr"], ";", [1234.5, -2.5], {"decimal_comma", "unit"}),
    "USA": (["$1,234.50", "($5.00)", "-$3.10"], ",", [1234.5, -5.0, -3.1], {"thousands", "unit", "negatives"}),
    "Japan": (["12,345円", "500円"], ",", [12345.0, 500.0], {"open_decimal", "unit"}),
    "Japan, yen first": (["￥1,000", "￥2,000,000"], ",", [1000.0, 2e6], {"thousands", "unit"}),
    "Japan, full width": (["１２３", "４５．５"], ",", [123.0, 45.5], set()),
    "Iran": (["۱۲۳", "۴۵٫۵", "۱٬۲۳۴٫۵"], ",", [123.0, 45.5, 1234.5], {"thousands"}),
    "Egypt": (["١٢", "٣"], ",", [12.0, 3.0], set()),
    "spreadsheet powers": (["1.23E+05", "4.0E-02"], ",", [123000.0, 0.04], set()),
    "spreadsheet errors": (["1", "#N/A", "#DIV/0!", "#REF!", "#VALUE!", "2"], ",", [1.0, None, None, None, None, 2.0],
                           set()),
    "accounting": (["(1,200)", "1,234.00-", "(5)", "1,234.50"], ",", [-1200.0, -1234.0, -5.0, 1234.5],
                   {"thousands", "negatives"}),
    "brackets without marks": (["(5)", "10", "(7)"], ",", [-5.0, 10.0, -7.0], {"negatives"}),
    "typographic minus": (["−5", "–3", "10"], ",", [-5.0, -3.0, 10.0], set()),
    "percent": (["12%", "0.5 %"], ",", [12.0, 0.5], {"unit"}),
    "percent here and there": (["12%", "0.5"], ",", [12.0, 0.5], {"unit"}),
    "degrees": (["23.5°C", "-1.0 °C", "n/a"], ",", [23.5, -1.0, None], {"unit"}),
    "kilograms in any case": (["5 kg", "6 KG", "7Kg"], ",", [5.0, 6.0, 7.0], {"unit"}),
    "speeds": (["5 m/s", "6.5m/s"], ",", [5.0, 6.5], {"unit"}),
    "sql": (["1", "\\N", "NULL", "2"], ",", [1.0, None, None, 2.0], set()),
    "one stray cell": ([*map(str, range(40)), "-"], ",", [*map(float, range(40)), None], {"unfit_cells"}),
    "one stray unit": (["5 kg"] * 19 + ["500 g"], ",", [5.0] * 19 + [None], {"unit", "unfit_cells"}),
    "survey": (["31", "42"] * 5 + ["Prefer not to say"] * 5, ",", [31.0, 42.0] * 5 + [None] * 5, {"unfit_cells"}),
    "laboratory": ([f"{i}.5" for i in range(20)] + ["<0.1"], ",", [i + 0.5 for i in range(20)] + [None],
                   {"unfit_cells"}),
    "house numbers": (["12", "14", "15"] * 20 + ["12a", "3b"], ",", [12.0, 14.0, 15.0] * 20 + [None] * 2,
                      {"unfit_cells"}),
    "open points with semicolons": (["1.680", "12.345"], ";", [1.68, 12.345], {"open_decimal"}),
    "three decimals with commas": (["1.680", "12.345"], ",", [1.68, 12.345], set()),
    "open commas": (["1,680", "12,345"], ",", [1680.0, 12345.0], {"open_decimal"}),
    "decimal commas told by zero": (["0,123", "1,680"], ";", [0.123, 1.68], {"decimal_comma"}),
    "spaces around": (["  1 ", " 2"], ",", [1.0, 2.0], set()),
    "clock": (["7:30", "23:15:30", "-"], ",", [27000.0, 83730.0, None], {"clock", "unfit_cells"}),
    "clock of two halves": (["7:30 PM", "12:05 am", "12:00 p.m."], ",", [70200.0, 300.0, 43200.0], {"clock"}),
    "laps": (["03:25.5", "04:01.25"], ",", [205.5, 241.25], {"clock"}),
    "durations of pandas": (["0 days 00:00:05", "1 days 02:03:04.5", "-1 days +23:59:59"], ",", [5.0, 93784.5, -1.0],
                            {"clock"}),
    "durations of Python": (["1 day, 2:03:04", "0:00:05", "-0:30"], ",", [93784.0, 5.0, -1800.0], {"clock"}),
}  # fmt: skip


@pytest.mark.parametrize(("cells", "delimiter", "expected", "said"), NUMBERS.values(), ids=NUMBERS)
def test_what_numbers_are(
    tmp_path: Path, cells: list[str], delimiter: str, expected: list[Any], said: set[str]
) -> None:
    column, findings = read_cells(tmp_path, cells, delimiter)
    assert column.reading.kind == "number"
    assert listed(column.values) == expected
    assert set(findings) == said


TEXTS: dict[str, tuple[list[str], set[str]]] = {
    "postal codes": (["01234", "90210"], {"leading_zeros"}),
    "postal codes but for a cell": (["01234", "90210"] * 10 + ["-"], {"leading_zeros"}),
    "identifiers beyond 2^53": (["9007199254740993", "9007199254740992"], {"beyond_exact"}),
    "identifiers beyond 2^53 but for a cell": (["9007199254740993", "9007199254740992"] * 9 + ["-"], {"beyond_exact"}),
    "codes with an E": (["1E1", "2E3", "345"], {"powers"}),
    "telephones": (["030 1234567", "040 7654321"], set()),
    "telephones with a cross": (["+49 30 1234567", "+49 40 7654321"], set()),
    "network addresses": (["192.168.0.1", "10.0.0.1"], set()),
    "versions": (["1.2.3", "1.10.0"], set()),
    "seats": ([f"{i}{letter}" for i in range(9) for letter in "ABCDEFGH"], set()),
    "ranges": (["10-20", "20-30"], set()),
    "units that differ": (["5 kg", "500 g"], {"partly_numbers"}),
    "half a survey": (["31", "no idea"], {"partly_numbers"}),
    "both decimal signs": (["0.5", "0,5"] * 5, {"partly_numbers"}),
    "spreadsheet texts of digits": (["'0012", "'0013"], set()),
    "heights in feet": (["5'10\"", "6'1\""], set()),
    "Likert": (["Agree", "Strongly agree", "Neutral"], set()),
    "several answers": (["a;b", "a", "b;c"], set()),
    "letters of SQL": (["t", "f", "t"], set()),
}


@pytest.mark.parametrize(("cells", "said"), TEXTS.values(), ids=TEXTS)
def test_what_looks_like_numbers_and_stays_text(tmp_path: Path, cells: list[str], said: set[str]) -> None:
    column, findings = read_cells(tmp_path, cells)
    assert column.reading.kind == "category"
    assert listed(column.values) == cells
    assert set(findings) == said
    assert all(finding.setting for finding in findings.values())


def test_a_finding_shows_a_cell_and_its_count(tmp_path: Path) -> None:
    _, findings = read_cells(tmp_path, [*map(str, range(40)), "-", "?!"])
    assert findings["unfit_cells"].sentence == "x is numbers but for 2 cells ('-', '?!'), read as missing."
    assert findings["unfit_cells"].setting == "data.types: {x: category} keeps them as text"
    _, findings = read_cells(tmp_path, ["$1,234.50", "$2.00"])
    assert "($1,234.50 is 1234.5)" in findings["thousands"].sentence
    assert findings["thousands"].setting == 'data.decimal: ","'


def test_a_file_tells_the_decimal_sign_of_its_open_columns(tmp_path: Path) -> None:
    from tests.service.data.tables import csv_of, read

    table = read(tmp_path, csv_of({"told": ["0,5", "1,25"], "open": ["1.680", "2.500"]}, ";"))
    assert listed(table.columns["open"].values) == [1680.0, 2500.0]
    assert [f.code for f in table.findings if f.columns == ("open",)] == ["thousands"]


STYLES = {
    "plain": (".", ""), "US": (".", ","), "German": (",", "."), "French": (",", "\u202f"), "Swiss": (".", "'"),
    "Swedish": (",", "\u00a0"), "spaced": (".", " "),
}  # fmt: skip


def written(number: Decimal, decimal: str, mark: str) -> str:
    return f"{number:,f}".replace(",", "_").replace(".", decimal).replace("_", mark)


@given(
    numbers=st.lists(st.decimals(-(10**9), 10**9, places=2), min_size=3, max_size=20),
    style=st.sampled_from(list(STYLES)),
)
def test_numbers_come_back_exactly_however_they_are_written(
    tmp_path_factory: pytest.TempPathFactory, numbers: list[Decimal], style: str
) -> None:
    decimal, mark = STYLES[style]
    cells = [written(number, decimal, mark) for number in numbers]
    column, _ = read_cells(tmp_path_factory.mktemp("n"), cells, ";" if decimal == "," else ",")
    assert listed(column.values) == [float(number) for number in numbers]
