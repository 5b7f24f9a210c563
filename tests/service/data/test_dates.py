"""Dates as the world writes them, to seconds since 1970."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.service.data.tables import csv_of, listed, read, read_cells


def day(*parts: int) -> float:
    return datetime(*parts, tzinfo=UTC).timestamp()  # type: ignore[arg-type, misc]


DATES: dict[str, tuple[list[str], list[float | None], set[str]]] = {
    "ISO": (["2024-01-31", "1969-12-31"], [day(2024, 1, 31), day(1969, 12, 31)], set()),
    "ISO with T and Z": (["2024-01-31T10:00:00Z", "2024-01-31T11:00:00.5Z"], [day(2024, 1, 31, 10),
                         day(2024, 1, 31, 11) + 0.5], set()),
    "Postgres": (["2024-01-31 10:00:00.25+00", "2024-01-31 10:00:00+02"], [day(2024, 1, 31, 10) + 0.25,
                 day(2024, 1, 31, 8)], set()),
    "USA": (["01/13/2024", "12/31/2024"], [day(2024, 1, 13), day(2024, 12, 31)], {"date_order"}),
    "USA with a clock": (["01/13/2024 7:30 PM", "12/31/2024 12:05 AM"], [day(2024, 1, 13, 19, 30),
                         day(2024, 12, 31, 0, 5)], {"date_order"}),
    "Britain": (["13/01/2024", "31/12/2024"], [day(2024, 1, 13), day(2024, 12, 31)], {"date_order"}),
    "Germany": (["13.1.2024", "31.12.2024"], [day(2024, 1, 13), day(2024, 12, 31)], {"date_order"}),
    "Japan": (["2024/1/5", "2024/12/31"], [day(2024, 1, 5), day(2024, 12, 31)], set()),
    "Japan in signs": (["2024年1月5日", "2024年12月31日"], [day(2024, 1, 5), day(2024, 12, 31)], set()),
    "Korea": (["2024. 1. 5.", "2024. 12. 31."], [day(2024, 1, 5), day(2024, 12, 31)], set()),
    "spreadsheet": (["5-Jan-24", "31-Dec-24"], [day(2024, 1, 5), day(2024, 12, 31)], {"short_years"}),
    "English": (["January 5, 2024", "May 31, 2024"], [day(2024, 1, 5), day(2024, 5, 31)], set()),
    "months": (["2020-01", "2020-12"], [day(2020, 1, 1), day(2020, 12, 1)], set()),
    "months before years": (["01/2020", "12/2020"], [day(2020, 1, 1), day(2020, 12, 1)], set()),
    "months by name": (["Jan 2020", "Dec 2020"], [day(2020, 1, 1), day(2020, 12, 1)], set()),
    "quarters": (["2020Q1", "2020-Q2", "2021 Q4", "Q3 2021"], [day(2020, 1, 1), day(2020, 4, 1), day(2021, 10, 1),
                 day(2021, 7, 1)], set()),
    "without marks": (["20240131", "20240201", "20231231"], [day(2024, 1, 31), day(2024, 2, 1), day(2023, 12, 31)],
                      {"compact_dates"}),
    "years of two digits": (["12.03.55", "31.12.99"], [day(2055, 3, 12), day(1999, 12, 31)],
                            {"date_order", "short_years"}),
    "leap day": (["2024-02-29", "2023-02-28"], [day(2024, 2, 29), day(2023, 2, 28)], set()),
    "a day that there is not": (["31.02.2020"] + ["28.02.2020"] * 10, [None] + [day(2020, 2, 28)] * 10,
                                {"date_order", "unfit_cells"}),
    "MySQL's nothing": (["0000-00-00"] * 3 + ["2024-01-05"] * 2, [None] * 3 + [day(2024, 1, 5)] * 2, {"unfit_cells"}),
    "words among dates": (["2024-01-05", "unknown", "-", "2024-01-06"], [day(2024, 1, 5), None, None, day(2024, 1, 6)],
                          {"unfit_cells"}),
    "several spellings": (["2024-01-05", "13.01.2024", "2024/01/07"], [day(2024, 1, 5), day(2024, 1, 13),
                          day(2024, 1, 7)], {"mixed_dates"}),
    "open order": (["01/02/2024", "03/04/2024"], [day(2024, 2, 1), day(2024, 4, 3)], {"open_dates"}),
    "another calendar": (["1402/10/05", "1402/11/06"], [day(1402, 10, 5), day(1402, 11, 6)], {"other_calendar"}),
}  # fmt: skip


@pytest.mark.parametrize(("cells", "expected", "said"), DATES.values(), ids=DATES)
def test_what_dates_are(tmp_path: Path, cells: list[str], expected: list[Any], said: set[str]) -> None:
    column, findings = read_cells(tmp_path, cells)
    assert column.reading.kind == "date"
    assert listed(column.values) == expected
    assert set(findings) == said


NO_DATES: dict[str, tuple[list[str], set[str]]] = {
    "months in German": (["5. März 2024", "6. Mai 2024"], {"partly_dates"}),
    "a zone by name": (["2024-01-31 10:00:00 CET", "2024-02-01 10:00:00 CET"], {"partly_dates"}),
    "both orders": (["13/01/2024", "01/13/2024"] * 5, {"partly_dates"}),
    "weeks": (["2024-W05", "2024-W06"], set()),
    "words": (["May", "June"], set()),
}


@pytest.mark.parametrize(("cells", "said"), NO_DATES.values(), ids=NO_DATES)
def test_what_is_no_date_stays_text(tmp_path: Path, cells: list[str], said: set[str]) -> None:
    column, findings = read_cells(tmp_path, cells)
    assert column.reading.kind == "category"
    assert listed(column.values) == cells
    assert set(findings) == said


def test_years_alone_and_seconds_since_1970_are_numbers(tmp_path: Path) -> None:
    for cells in (["2019", "2020"], ["1706695200", "1706695201"], ["202401", "202402"]):
        column, findings = read_cells(tmp_path, cells)
        assert (listed(column.values), findings) == ([float(cell) for cell in cells], {})


def test_one_column_tells_the_order_of_another(tmp_path: Path) -> None:
    table = read(tmp_path, csv_of({"told": ["01/13/2024", "01/14/2024"], "open": ["01/02/2024", "03/04/2024"]}))
    assert listed(table.columns["open"].values) == [day(2024, 1, 2), day(2024, 3, 4)]
    assert not table.columns["open"].is_open


FORMATS = ("%Y-%m-%d", "%Y/%m/%d", "%Y%m%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%d %b %Y", "%B %d, %Y",
           "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S.%f", "%d.%m.%Y %H:%M:%S", "%m/%d/%Y %I:%M:%S %p",
           "%Y-%m-%dT%H:%M:%SZ")  # fmt: skip


@given(
    times=st.lists(st.datetimes(datetime(1900, 1, 1), datetime(2099, 12, 31)), min_size=4, max_size=20, unique=True),
    format_=st.sampled_from(FORMATS),
)
def test_dates_come_back_exactly_however_they_are_written(
    tmp_path_factory: pytest.TempPathFactory, times: list[datetime], format_: str
) -> None:
    whole = [time if "%f" in format_ else time.replace(microsecond=0) for time in times]
    whole = [time if "%H" in format_ or "%I" in format_ else datetime.combine(time.date(), time.min.time())
             for time in whole]  # fmt: skip
    order = "month_first" if format_.startswith("%m") else "day_first"
    column, _ = read_cells(tmp_path_factory.mktemp("d"), [time.strftime(format_) for time in whole], dates=order,
                           types={"x": "date"})  # fmt: skip
    assert listed(column.values) == [time.replace(tzinfo=UTC).timestamp() for time in whole]


def test_dates_of_many_years_are_found_by_themselves(tmp_path: Path) -> None:
    days = [date(1871, 3, 31), date(1900, 2, 28), date(2000, 2, 29), date(2399, 12, 31)]
    column, findings = read_cells(tmp_path, [f"{d:%d.%m.%Y}" for d in days])
    assert listed(column.values) == [(d - date(1970, 1, 1)).days * 86400.0 for d in days]
    assert set(findings) == {"date_order"}
