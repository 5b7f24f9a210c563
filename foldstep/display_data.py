"""The data report in the CLI: one line for each column, then what was found, in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from foldstep.service.contract.dataset import Column, DataReport, DatasetDescription, Finding

_MOST_COLUMNS, _MOST_OF_NAME, _LEAST_OF_VALUES = 200, 24, 16
_MOST_ALIKE, _MOST_NAMES = 3, 12
_FATES = {"rare": "left out: rare text", "index": "left out: index", "constant": "left out: constant",
          "empty": "left out: empty", "ignored": "left out"}  # fmt: skip


def head(data: DatasetDescription, targets: Sequence[str] = ()) -> str:
    """Say in one line what was read."""
    what = f", target{'s' if len(targets) > 1 else ''} {', '.join(targets)}" if targets else ""
    n_left_out = sum(not column.is_used for column in data.columns)
    left_out = f" ({n_left_out} left out)" if n_left_out else ""
    return (
        f"{data.source}: {data.n_rows:,} rows, {len(data.columns):,} columns{left_out}{what}, {data.fingerprint[:12]}"
    )


def report(found: DataReport, width: int = 80) -> Iterator[RenderableType]:
    """Render a report of `width` characters: what was read, column by column, then the findings, warnings first."""
    targets = () if found.target is None else found.target.names
    yield Text(head(found.data, targets), overflow="fold")
    yield columns(found.data, targets, width)
    if len(found.data.columns) > _MOST_COLUMNS:
        yield Text(f"… and {len(found.data.columns) - _MOST_COLUMNS:,} more columns; --json has them all.")
    others = (finding for finding in found.data.findings if not _is_left_out(finding, targets))
    findings = [*(found.target.findings if found.target else ()), *others]
    yield from sentences(sorted(findings, key=lambda f: not f.is_warning))
    if not findings:
        yield Text("Nothing odd was found.")


def _is_left_out(finding: Finding, targets: Sequence[str]) -> bool:
    """Tell whether a finding says that a target is no feature, which goes without saying."""
    return bool(finding.columns) and set(finding.columns) <= set(targets) and finding.code in _FATES


def sentences(findings: Sequence[Finding]) -> Iterator[Text]:
    """Render findings; of many of one kind the first, then how many more there are and for which columns."""
    by_code: dict[str, list[Finding]] = {}
    for finding in findings:
        by_code.setdefault(finding.code, []).append(finding)
    for alike in by_code.values():
        shown = alike if len(alike) <= _MOST_ALIKE + 1 else alike[:_MOST_ALIKE]
        yield from map(sentence, shown)
        if len(shown) < len(alike):
            names = [name for finding in alike[len(shown) :] for name in finding.columns]
            more = ", …" if len(names) > _MOST_NAMES else ""
            listed = ", ".join(names[:_MOST_NAMES]) + more
            yield Text(f"  The same of {len(alike) - len(shown):,} more: {listed} (--json has them all).", style="dim")


def sentence(finding: Finding) -> Text:
    """Render a finding: a warning is marked; the way to say otherwise is dimmed."""
    text = Text("! " if finding.is_warning else "• ", style="yellow" if finding.is_warning else "")
    text.append(finding.sentence, style="default")
    if finding.setting is not None:
        text.append(f" [{finding.setting}]", style="dim")
    return text


def columns(data: DatasetDescription, targets: Sequence[str], width: int) -> Table:
    """Build the table of columns; what does not fit into `width` characters is cut from the values."""
    rows = [(c.name, _fate(c, targets), _missing(c, data.n_rows), f"{c.n_distinct:,}") for c in data.columns]
    rows = rows[:_MOST_COLUMNS]
    table = Table()
    taken = 0
    for heading, cells in zip(("column", "as", "missing", "different"), zip(*rows, strict=True), strict=True):
        own = max(map(len, (heading, *cells)))
        own = min(own, _MOST_OF_NAME) if heading == "column" else own
        taken += own + 3
        table.add_column(
            heading, justify="left" if heading in ("column", "as") else "right", width=own, overflow="fold"
        )
    table.add_column("values", no_wrap=True)
    for row, column in zip(rows, data.columns, strict=False):
        table.add_row(*map(escape, row), escape(_values(column, max(width - taken - 4, _LEAST_OF_VALUES))))
    return table


def _fate(column: Column, targets: Sequence[str]) -> str:
    return "target" if column.name in targets else _FATES.get(str(column.fate), str(column.fate or column.kind))


def _missing(column: Column, n_rows: int) -> str:
    return f"{column.n_missing / n_rows:.1%}" if column.n_missing else "–"


def _values(column: Column, most: int) -> str:
    if column.low is not None:
        return column.low if column.low == column.high else f"{column.low} to {column.high}"
    text = ", ".join(f"{value} ({count:,})" for value, count in column.commonest)
    return text if len(text) <= most else text[: most - 1] + "…"
