"""Find how a CSV file is laid out: the delimiter, the header, and lines that are no rows of the table."""

from __future__ import annotations

import csv
import re
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path

from foldstep.service.contract.dataset import Finding
from foldstep.service.data.sources import refusal

DELIMITERS = (";", "\t", "|", ",")
"""Of two that fit alike, the first is taken: commas stand in numbers and names, too."""
MAX_COLUMNS = 20_000
MAX_NAME = 2000
"""Characters of a column's name."""
_PROBE = 200
_SEPARATOR_LINE = re.compile(r"sep=(.)\s*$", re.IGNORECASE)
_NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?")


@dataclass(frozen=True)
class Layout:
    """How a CSV file is laid out.

    Attributes:
        delimiter: between two cells.
        names: of the columns; a column without a name is named by its place, as `column_3`.
        unnamed: the columns that the header has no name for.
        n_skipped: lines before the header.
        findings: what the user should know of it.
    """

    delimiter: str
    names: list[str]
    unnamed: frozenset[str]
    n_skipped: int
    findings: list[Finding]


def find_layout(path: Path) -> Layout:
    """Find the layout of a UTF-8 file.

    Raises:
        DatasetUnreadable: `empty_file`, `duplicate_column`, `no_header`, `too_many_columns`, `not_separated` or
            `title_lines`.
    """
    delimiter, n_skipped = _separator_line(path)
    delimiter = delimiter or _delimiter(path)
    records = [fields for _, fields in islice(records_of(path, delimiter, n_skipped), _PROBE)]
    if not records:
        raise refusal("empty_file", expected="a table", got="a file of empty lines")
    _check_title(records)
    raw, odd = _as_wide_as_rows([name.strip() for name in records[0]], records[1:])
    _check_width(raw)
    _check_names(raw, records[1:])
    _check_rule(records[1:2])
    names = [name or f"column_{i}" for i, name in enumerate(raw, start=1)]
    check_unique(names)
    unnamed = frozenset(named for name, named in zip(raw, names, strict=True) if _is_no_name(name))
    return Layout(delimiter, names, unnamed, n_skipped, [*odd, *_findings(raw, names, records[1:])])


def records_of(path: Path, delimiter: str, n_skipped: int) -> Iterator[tuple[int, list[str]]]:
    """Yield line number and fields of each record, without empty lines, as read by Python's `csv`."""
    csv.field_size_limit(sys.maxsize)
    with path.open(encoding="utf-8-sig", newline="") as text:
        for _ in range(n_skipped):
            next(text, None)
        reader = csv.reader(text, delimiter=delimiter)
        for fields in reader:
            if fields:
                yield reader.line_num + n_skipped, fields


def ragged(path: Path, layout: Layout) -> Exception | None:
    """Make the error for a quote that is never closed, or the first line with a wrong number of values, if any."""
    begun = end = layout.n_skipped
    for line, _ in records_of(path, layout.delimiter, layout.n_skipped):
        begun, end = end + 1, line
    if end > begun and _has_odd_quotes(path):
        got = f"a quote that is opened in line {begun} or after it and never closed"
        return refusal(
            "open_quote", expected="quotes in pairs", got=got, hint="close it, or double it inside of a value"
        )
    for line, fields in islice(records_of(path, layout.delimiter, layout.n_skipped), 1, None):
        if len(fields) != len(layout.names):
            got = f"{len(fields)} in line {line}"
            hint = "mend that line"
            return refusal("ragged_row", expected=f"{len(layout.names)} values in every line", got=got, hint=hint)
    return None


def _has_odd_quotes(path: Path) -> bool:
    n_quotes = 0
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            n_quotes += block.count(b'"')
    return n_quotes % 2 == 1


def check_closed(path: Path, last_cell: str | None) -> None:
    """Refuse a file whose last value holds the rest of it, for a quote that is opened and never closed.

    Raises:
        DatasetUnreadable: `open_quote`.
    """
    if last_cell is None or "\n" not in last_cell:
        return
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 100))
        if file.read().rstrip().endswith(b'"'):
            return
    got = f"a quote that is opened before {last_cell[:30]!r} and never closed"
    raise refusal("open_quote", expected="quotes in pairs", got=got, hint="close it, or double it inside of a value")


def _separator_line(path: Path) -> tuple[str | None, int]:
    """Read the first line where it names the delimiter, as spreadsheets write it (`sep=;`); count the lines to skip."""
    n_skipped = 0
    with path.open(encoding="utf-8-sig") as text:
        while (line := text.readline(1000)) and not line.strip():
            n_skipped += 1
    match = _SEPARATOR_LINE.match(line)
    return (match[1], n_skipped + 1) if match else (None, n_skipped)


def _delimiter(path: Path) -> str:
    """Choose the delimiter under which most lines have as many fields as the header; of several, the most fields."""

    def fit(delimiter: str) -> tuple[float, int]:
        """Tell how well a delimiter fits; below a title, by the rows' width."""
        widths = [len(fields) for _, fields in islice(records_of(path, delimiter, 0), _PROBE)]
        if not widths or widths[0] < 2:
            return 0.0, Counter(widths[1:]).most_common(1)[0][0] if widths[1:] else 0
        alike = sum(width == widths[0] for width in widths) / len(widths)
        return (1.0 if alike > 0.9 else alike), widths[0]

    return max(DELIMITERS, key=fit)


def _as_wide_as_rows(names: list[str], rows: list[list[str]]) -> tuple[list[str], list[Finding]]:
    """Add the name that a header lacks: of R's row names, the first, or of a delimiter at the end of every row."""
    if not rows or any(len(fields) != len(names) + 1 for fields in rows) or len(names) < 2:
        return names, []
    if not any(fields[-1].strip() for fields in rows):
        sentence = "Every row ends with a delimiter, but the header does not: taken as an empty last column."
        return [*names, ""], [Finding(code="trailing_delimiter", columns=(), sentence=sentence)]
    sentence = "The header has one name less than the rows have values: the first column is taken as names of rows."
    setting = "a name for each column in the file's first line"
    return ["", *names], [Finding(code="row_names", columns=("column_1",), sentence=sentence, setting=setting)]


def _check_rule(rows: list[list[str]]) -> None:
    """Refuse a line of dashes between header and rows, as in tables for readers."""
    cells = [cell.strip() for fields in rows for cell in fields if cell.strip()]
    if cells and all(re.fullmatch(r":?[-=]{2,}:?", cell) for cell in cells):
        got = f"a line of {cells[0][:5]} below the header"
        raise refusal("two_headers", expected="one line of names, then rows", got=got, hint="remove that line")


def _check_title(records: list[list[str]]) -> None:
    """Refuse lines of a title above the header: a first line that is much narrower than all that follow."""
    widths = Counter(len(fields) for fields in records[1:])
    if not widths or len(records) < 4:
        return
    usual, count = widths.most_common(1)[0]
    filled = sum(bool(cell.strip()) for cell in records[0])
    if usual >= 2 and count >= 0.8 * (len(records) - 1) - 3 and filled <= 1 < usual and len(records[0]) <= usual:
        if len(records[0]) == usual and usual == 2:
            return
        got = f"a first line {records[0][0]!r} that seems to be a title"
        raise refusal("title_lines", expected="a header in the first line", got=got,
                      hint="remove the lines above the header")  # fmt: skip


def _check_width(names: list[str]) -> None:
    if len(names) > MAX_COLUMNS:
        got = f"{len(names):,} columns"
        hint = "choose columns, or turn the table if its rows and columns are exchanged"
        raise refusal("too_many_columns", expected=f"at most {MAX_COLUMNS:,} columns", got=got, hint=hint)
    if len(names) == 1 and (mark := re.search(r"\S(\s{1,}|[:^~])\S", names[0])) and len(names[0].split()) > 2:
        got = f"one column {names[0][:40]!r}, which seems to be several with {mark[1]!r} between them"
        raise refusal("not_separated", expected="columns separated by a comma, semicolon, tab or |", got=got,
                      hint="save the table with one of these")  # fmt: skip


def _check_names(names: list[str], rows: list[list[str]]) -> None:
    """Refuse a first line that is a row: numbers above numbers, and texts that are there again below."""
    if not _is_row(names, [fields for fields in rows if len(fields) == len(names)]):
        return
    got = "a first line that seems to be a row: " + ", ".join(name[:20] for name in names[:5])
    raise refusal("no_header", expected="a first line with the columns' names", got=got,
                  hint="add a line of names above it")  # fmt: skip


def _is_row(names: list[str], rows: list[list[str]]) -> bool:
    if not rows or names in rows:
        return False  # a header that is repeated is told as such
    columns = [(name, [row[i].strip() for row in rows]) for i, name in enumerate(names)]
    n_again = sum(name in cells for name, cells in columns if name and not _NUMBER.fullmatch(name))
    of_numbers = [name for name, cells in columns if any(cells) and all(_NUMBER.fullmatch(c) for c in cells if c)]
    n_texts = len(names) - len(of_numbers)
    if not of_numbers or not all(_NUMBER.fullmatch(name) for name in of_numbers):
        return not of_numbers and n_again >= max(2, 0.5 * len(names))
    if n_texts:
        return n_again > 0
    return not (all(name.isdecimal() for name in names) and _is_ascending([int(name) for name in names]))


def _is_ascending(numbers: list[int]) -> bool:
    """Tell whether names are 0, 1, 2, … or years, or steps of a measure."""
    return all(one < other for one, other in pairwise(numbers))


def _is_no_name(name: str) -> bool:
    """Tell whether a header has no name: nothing, or what pandas and readr write for nothing."""
    return not name or re.fullmatch(r"Unnamed: \d+(\.\d+)?|\.\.\.\d+", name) is not None


def check_unique(names: list[str]) -> None:
    """Refuse a name that two columns have, and one that is no name.

    Raises:
        DatasetUnreadable: `duplicate_column`, `long_column_name`.
    """
    longest = max(names, key=len, default="")
    if len(longest) > MAX_NAME:
        got = f"a header with one of {len(longest):,}: {longest[:40]}…"
        raise refusal("long_column_name", expected=f"column names of at most {MAX_NAME:,} characters", got=got,
                      hint="does the file begin with a line of names?")  # fmt: skip
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        got = ", ".join(repeated[:10])
        raise refusal("duplicate_column", expected="each column name once", got=got, hint="rename one of them")


def _findings(raw: list[str], names: list[str], rows: list[list[str]]) -> list[Finding]:
    """Say which columns with content have no name."""
    width = len(names)
    is_empty = [not any(row[i].strip() for row in rows if len(row) == width) for i in range(width)]
    named = [new for old, new, empty in zip(raw, names, is_empty, strict=True) if not old and not empty]
    if not named:
        return []
    noun = "A column without a name is" if len(named) == 1 else f"{len(named)} columns without a name are"
    sentence = f"{noun} called by place: {', '.join(named[:5])}{', …' if len(named) > 5 else ''}."
    return [Finding(code="unnamed_column", columns=tuple(named), sentence=sentence)]
