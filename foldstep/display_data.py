"""The data report in the CLI: one line for each column, then what was found, in words."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from foldstep.service.contract.dataset import Column, DataReport, DatasetDescription, Finding

_MOST_COLUMNS, _MOST_LETTERS = 200, 30
_FATES = {"rare": "left out: rare text", "index": "left out: index", "constant": "left out: constant",
          "empty": "left out: empty", "ignored": "left out"}  # fmt: skip


def head(data: DatasetDescription, target: str | None = None) -> str:
    """Say in one line what was read."""
    what = f", target {target}" if target else ""
    n_left_out = sum(not column.is_used for column in data.columns)
    left_out = f" ({n_left_out} left out)" if n_left_out else ""
    return (
        f"{data.source}: {data.n_rows:,} rows, {len(data.columns):,} columns{left_out}{what}, {data.fingerprint[:12]}"
    )


def report(found: DataReport) -> Iterator[RenderableType]:
    """Render a report: what was read, column by column, then the findings, warnings first."""
    target = None if found.target is None else found.target.name
    yield Text(head(found.data, target), overflow="fold")
    yield columns(found.data, target)
    if len(found.data.columns) > _MOST_COLUMNS:
        yield Text(f"… and {len(found.data.columns) - _MOST_COLUMNS:,} more columns; --json has them all.")
    findings = [*(found.target.findings if found.target else ()), *found.data.findings]
    for finding in sorted(findings, key=lambda f: not f.is_warning):
        yield sentence(finding)
    if not findings:
        yield Text("Nothing odd was found.")


def sentence(finding: Finding) -> Text:
    """Render a finding: a warning is marked; the way to say otherwise is dimmed."""
    text = Text("! " if finding.is_warning else "• ", style="yellow" if finding.is_warning else "")
    text.append(finding.sentence, style="default")
    if finding.setting is not None:
        text.append(f" [{finding.setting}]", style="dim")
    return text


def columns(data: DatasetDescription, target: str | None) -> Table:
    """Build the table of columns."""
    table = Table()
    table.add_column("column", overflow="fold", min_width=12)
    table.add_column("as", no_wrap=True)
    for heading in ("missing", "different"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("values", overflow="ellipsis", no_wrap=True)
    for column in data.columns[:_MOST_COLUMNS]:
        share = column.n_missing / data.n_rows
        missing = f"{share:.1%}" if column.n_missing else "–"
        fate = "target" if column.name == target else _FATES.get(str(column.fate), str(column.fate or column.kind))
        table.add_row(escape(column.name), fate, missing, f"{column.n_distinct:,}", escape(_values(column)))
    return table


def _values(column: Column) -> str:
    if column.low is not None:
        return column.low if column.low == column.high else f"{column.low} to {column.high}"
    text = ", ".join(f"{value} ({count:,})" for value, count in column.commonest)
    return text if len(text) <= _MOST_LETTERS else text[: _MOST_LETTERS - 1] + "…"
