"""Decide what a column of text holds, numbers, dates or categories, and say why."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import polars as pl

from foldstep.service.contract.dataset import Finding
from foldstep.service.contract.reading import ColumnReading, DateOrder, Decimal, ReadingOptions
from foldstep.service.data.cells import Unfit, unfit_cells
from foldstep.service.data.dates import FoundDates, find_dates, seconds_of, thinned
from foldstep.service.data.numbers import Evidence, evidence_of, is_clock, marks_in, parts_of, to_numbers
from foldstep.service.data.sources import refusal

FITTING_SHARE = 0.9
"""A column is numbers, or dates, if at least this share of its cells are, words for "no value" apart."""
NO_VALUE_WORDS = (
    "-", "--", "---", "–", "\u2014", ".", "..", "...", "*", "**", "***", "#", "none", "nil", "missing", "unknown",
    "unbekannt",
    "k.a.", "k. a.", "n.a.", "n.a", "na.", "n/d", "n.d.", "nd", "s/d", "n.v.", "not available", "not applicable",
    "no data", "nodata", "no value", "error", "err", "tbd", "blank", "(blank)", "(null)", "undefined", "not reported",
    "refused", "don't know", "below detection limit", "bdl", "<lod", "void", "invalid", "failed", "keine",
    "keine angabe", "inconnu", "desconocido", "offline", "nan%", "-.-",
)  # fmt: skip
"""Texts that stand for "no value" in a column that is numbers or dates besides; elsewhere they are categories."""
EXACT = 2**53
"""Beyond this, float64 does not hold every whole number."""


@dataclass(frozen=True)
class FileEvidence:
    """What the columns of a file together tell of its way of writing.

    Attributes:
        decimal: the decimal sign; None where no column tells.
        order: of day and month; None where no column tells.
        delimiter: between cells.
    """

    decimal: Decimal | None = None
    order: DateOrder | None = None
    delimiter: str = ","


@dataclass(frozen=True)
class Decision:
    """What a column holds.

    Attributes:
        why: in words.
        unfit: cells that are missing because they do not fit.
        findings: what the user should know.
        is_open: whether the order of day and month is a guess.
    """

    reading: ColumnReading
    why: str
    unfit: Unfit | None = None
    findings: list[Finding] = field(default_factory=list)
    is_open: bool = False


def file_evidence(columns: Iterable[pl.Series], options: ReadingOptions, delimiter: str) -> FileEvidence:
    """Gather what the first rows of all columns tell of decimal sign and order of dates."""
    comma = point = 0
    orders: list[DateOrder] = []
    for text in columns:
        if text.str.contains("[.,]").any():
            found = evidence_of(parts_of(text).body)
            comma, point = comma + (found.comma > 0), point + (found.point > 0)
        dates = find_dates(text, options.dates, None)
        if dates is not None and dates.order is not None:
            orders.append(dates.order)
    decimal: Decimal | None = options.decimal or ("," if comma > point else "." if point else None)
    order = options.dates or (orders[0] if orders and len(set(orders)) == 1 else None)
    return FileEvidence(decimal, order, delimiter)


def decide(text: pl.Series, options: ReadingOptions, evidence: FileEvidence) -> Decision:
    """Decide what a column holds.

    Args:
        text: its cells, cleaned; its name is the column's.
        options: what the user says; a type that is said is imposed.
        evidence: of the whole file.

    Raises:
        DatasetUnreadable: `type_mismatch`, no cell is of the type that the user says.
    """
    said = options.types.get(text.name)
    if said in ("number", "date", "category"):
        return _imposed(text, said, options, evidence)
    if text.null_count() == len(text):
        return Decision(ColumnReading(name=text.name, kind="number"), "no value at all")
    return _boolean(text) or _number(text, options, evidence) or _date(text, options, evidence) or _category(text)


def _imposed(text: pl.Series, said: str, options: ReadingOptions, evidence: FileEvidence) -> Decision:
    if said == "category":
        return Decision(ColumnReading(name=text.name, kind="category"), "as data.types says")
    found = (
        _number(text, options, evidence, least=0.0) if said == "number" else _date(text, options, evidence, least=0.0)
    )
    if found is None or (found.unfit is not None and found.unfit.count == len(text) - text.null_count()):
        cells = ", ".join(map(repr, text.drop_nulls().unique(maintain_order=True).head(3)))
        raise refusal(
            "type_mismatch",
            expected=f"{said}s in the column {text.name}, as data.types says",
            got=cells or "no value",
            hint="leave the column out of data.types" + (", or set data.dates" if said == "date" else ""),
        )
    return Decision(found.reading, f"as data.types says; {found.why}", found.unfit, found.findings, found.is_open)


def _boolean(text: pl.Series) -> Decision | None:
    if thinned(text.drop_nulls(), 1000).n_unique() > 6:
        return None
    words = text.drop_nulls().unique(maintain_order=True)
    if len(words) > 6 or not words.str.to_lowercase().is_in(["true", "false"]).all():
        return None
    false, true = (next((w for w in words if w.lower() == word), word) for word in ("false", "true"))
    reading = ColumnReading(name=text.name, kind="category", labels=(false, true))
    findings = []
    if len(words) > 2:
        sentence = (
            f"{text.name} writes true and false in several ways ({', '.join(words)}): read as {false} and {true}."
        )
        findings.append(Finding(code="spellings", columns=(text.name,), sentence=sentence,
                                setting=f"data.types: {{{text.name}: category}}"))  # fmt: skip
    return Decision(reading, f"{false} or {true} in every cell", findings=findings)


def _number(
    text: pl.Series, options: ReadingOptions, evidence: FileEvidence, least: float = FITTING_SHARE
) -> Decision | None:
    plain = text.cast(pl.Float64, strict=False)
    said = text.name in options.types
    if plain.null_count() == text.null_count():
        exact = _kept_as_text(text, plain) or (None if said else _compact_dates(text))
        if exact is not None and not said:
            return exact
        if "," not in (options.decimal, evidence.decimal) or not text.str.contains(".", literal=True).any():
            return Decision(ColumnReading(name=text.name, kind="number"), "every cell is a number")
    if is_clock(text):
        reading = ColumnReading(name=text.name, kind="number", is_clock=True)
        sentence = f"{text.name} is times of day or durations: read as seconds."
        setting = f"data.types: {{{text.name}: category}}"
        finding = Finding(code="clock", columns=(text.name,), sentence=sentence, setting=setting)
        return Decision(reading, "every cell is a time of day or a duration", findings=[finding])
    return _written_number(text, options, evidence, least)


def _written_number(text: pl.Series, options: ReadingOptions, evidence: FileEvidence, least: float) -> Decision | None:
    """Decide on a column of numbers with marks, units or stray cells."""
    few = thinned(text.drop_nulls())
    n_words = int(few.str.to_lowercase().is_in(NO_VALUE_WORDS).sum())
    if least > 0 and few.len() < len(text) and parts_of(few).body.count() < 0.7 * (len(few) - n_words):
        return None  # a glance says so: looking at every cell of a long column of text takes long
    parts = parts_of(text)
    units = parts.unit.filter(parts.body.is_not_null() & (parts.unit != "")).value_counts(sort=True)
    if least > 0 and len(units) > 1:
        return None  # a column in several units, or codes such as 12a and 12b
    unit = units["literal" if "literal" in units.columns else units.columns[0]][0] if len(units) else ""
    found = evidence_of(parts.body)
    decimal, is_guess = _decimal(found, options, evidence)
    reading = ColumnReading(
        name=text.name,
        kind="number",
        decimal=decimal,
        thousands=_thousands(parts.body, decimal),
        unit=unit,
    )
    values = to_numbers(text, reading)
    unfit = unfit_cells(text, values)
    if not _mostly_fits(text, values, least):
        return None
    if not reading.thousands and not unit and decimal == "." and text.str.contains(r"^0\d+$").any() and least > 0:
        return None
    findings = list(_writing_findings(text, parts.unit, reading, found, is_guess=is_guess))
    why = "every cell is a number" if unfit is None else f"numbers but for {unfit}"
    return Decision(reading, why, unfit, findings)


def _mostly_fits(text: pl.Series, values: pl.Series, least: float) -> bool:
    n_fit = len(values) - values.null_count()
    odd = text.filter(values.is_null() & text.is_not_null())
    n_words = int(odd.str.to_lowercase().is_in(NO_VALUE_WORDS).sum() or 0)
    n_cells = len(text) - text.null_count() - n_words
    is_first_alone = len(odd) == 1 and n_fit >= 2 and values[0] is None and text[0] is not None
    return n_fit > 0 and (n_fit >= least * n_cells or is_first_alone)


def _decimal(found: Evidence, options: ReadingOptions, evidence: FileEvidence) -> tuple[Decimal, bool]:
    """Choose the decimal sign of a column, and tell whether it is a guess."""
    if options.decimal is not None:
        return options.decimal, False
    if found.decimal is not None:
        return found.decimal, False
    if evidence.decimal is not None:
        return evidence.decimal, False
    if found.open_comma:
        return ("," if evidence.delimiter == ";" else "."), True
    return ".", False


def _thousands(body: pl.Series, decimal: str) -> str:
    return marks_in(body, decimal)


def _writing_findings(
    text: pl.Series, units: pl.Series, reading: ColumnReading, found: Evidence, *, is_guess: bool
) -> Iterable[Finding]:
    """Say what was taken away or guessed to read a column's numbers, each with an example."""
    name = text.name
    example = text.drop_nulls().filter(text.drop_nulls().str.contains(r"[^\d.\-]")).head(1).to_list()
    shown = f" ({example[0]} is {_shown(text, example[0], reading)})" if example else ""
    other = {",": ".", ".": ","}[reading.decimal]
    if is_guess or (found.open_comma and found.decimal is None):
        what = "a decimal sign" if reading.decimal == "," else "marks of thousands"
        sentence = f"{name}: the commas could be either, and are read as {what}{shown}."
        yield Finding(code="open_decimal", columns=(name,), sentence=sentence, setting=f'data.decimal: "{other}"',
                      is_warning=is_guess)  # fmt: skip
    elif reading.decimal == ",":
        setting = 'data.decimal: "."'
        yield Finding(
            code="decimal_comma", columns=(name,), sentence=f"{name} has decimal commas{shown}.", setting=setting
        )
    elif reading.thousands:
        sentence = f"{name} has marks between thousands, which are taken away{shown}."
        yield Finding(code="thousands", columns=(name,), sentence=sentence, setting=f"data.types: {{{name}: category}}")
    if reading.unit:
        n_bare = int((units == "").filter(text.is_not_null()).sum() or 0)
        bare = f"; {n_bare} cells without it are read alike" if n_bare else ""
        sentence = f"{name} is in {reading.unit}, which is taken away{shown}{bare}."
        yield Finding(code="unit", columns=(name,), sentence=sentence, setting=f"data.types: {{{name}: category}}",
                      is_warning=bool(n_bare) and reading.unit in "%‰")  # fmt: skip


def _shown(text: pl.Series, cell: str, reading: ColumnReading) -> str:
    value = to_numbers(pl.Series(text.name, [cell]), reading)[0]
    return "missing" if value is None else f"{value:.15g}"


def _kept_as_text(text: pl.Series, plain: pl.Series) -> Decision | None:
    """Keep whole numbers as text that numbers would change: codes with leading zeros, and those beyond 2**53."""
    if text.str.contains(r"^[+-]?0\d").any() and not text.str.contains(r"[.eE]").any():
        why, code = "codes with leading zeros, which numbers would lose", "leading_zeros"
        example = text.filter(text.str.contains(r"^[+-]?0\d").fill_null(False))[0]
    elif (plain.abs() >= EXACT).any() and _is_rounded(text, plain):
        why, code = "whole numbers beyond 2^53, which numbers would round", "beyond_exact"
        example = text.filter((plain.abs() >= EXACT).fill_null(False))[0]
    else:
        return None
    sentence = f"{text.name} holds {why} ({example}): kept as text."
    finding = Finding(
        code=code, columns=(text.name,), sentence=sentence, setting=f"data.types: {{{text.name}: number}}"
    )
    return Decision(ColumnReading(name=text.name, kind="category"), why, findings=[finding])


def _is_rounded(text: pl.Series, plain: pl.Series) -> bool:
    whole = text.filter((plain.abs() >= EXACT).fill_null(False))
    return any(cell.lstrip("+-").isdecimal() and int(float(cell)) != int(cell) for cell in whole.unique().head(10_000))


def _compact_dates(text: pl.Series) -> Decision | None:
    """Decide on dates without marks (20240131): all cells are days of 1900 to 2099, at least three different ones."""
    cells = text.drop_nulls()
    pattern = r"^(19|20)\d{6}$"
    if not cells.head(100).str.contains(pattern).all() or not cells.str.contains(pattern).all() or cells.n_unique() < 3:
        return None
    if seconds_of(cells, ("%Y%m%d",)).null_count():
        return None
    reading = ColumnReading(name=text.name, kind="date", formats=("%Y%m%d",))
    sentence = f"{text.name} is dates written as year, month, day without marks ({cells[0]})."
    setting = f"data.types: {{{text.name}: number}}"
    finding = Finding(code="compact_dates", columns=(text.name,), sentence=sentence, setting=setting)
    return Decision(reading, "every cell is a date without marks", findings=[finding])


def _date(
    text: pl.Series, options: ReadingOptions, evidence: FileEvidence, least: float = FITTING_SHARE
) -> Decision | None:
    found = find_dates(text, options.dates, evidence.order)
    if found is None:
        return None
    values = seconds_of(text, found.formats)
    if not _mostly_fits(text, values, least):
        return None
    reading = ColumnReading(name=text.name, kind="date", formats=found.formats)
    unfit = unfit_cells(text, values)
    why = "every cell is a date" if unfit is None else f"dates but for {unfit}"
    return Decision(reading, why, unfit, list(_date_findings(text, found, options)), found.is_open)


def _date_findings(text: pl.Series, found: FoundDates, options: ReadingOptions) -> Iterable[Finding]:
    if found.is_open:
        first = next(f for f in found.formats if "%d" in f)
        order = "day" if first.index("%d") < first.index("%m") else "month"
        cell = text.drop_nulls()[0]
        sentence = (
            f"{text.name}: day and month could be either way round in every cell ({cell}); read as {order} first."
        )
        setting = "data.dates: day_first or month_first"
        yield Finding(code="open_dates", columns=(text.name,), sentence=sentence, setting=setting, is_warning=True)
    if len(found.formats) > 1:
        ways = ", ".join(map(written, found.formats))
        sentence = f"{text.name} writes dates in several ways: {ways}."
        yield Finding(code="mixed_dates", columns=(text.name,), sentence=sentence)
    elif found.order is not None and options.dates is None and "%b" not in found.formats[0].lower():
        sentence = f"{text.name} is dates, {found.order.replace('_', ' ')} ({written(found.formats[0])})."
        setting = "data.dates: day_first, month_first or year_first"
        yield Finding(code="date_order", columns=(text.name,), sentence=sentence, setting=setting)


_WORDS = {"%d": "DD", "%m": "MM", "%Y": "YYYY", "%y": "YY", "%b": "Mon", "%B": "Month", "%H": "HH", "%M": "MM",
          "%S": "SS", "%.f": "", "%I": "HH", "%p": "AM", "%#z": "+ZZ", "%a": "Day"}  # fmt: skip


def written(format_: str) -> str:
    """Write a format of dates as people do: DD/MM/YYYY."""
    for mark, word in _WORDS.items():
        format_ = format_.replace(mark, word)
    return format_


def _category(text: pl.Series) -> Decision:
    """Take a column as categories, and say where many of its cells are numbers."""
    cells = text.drop_nulls()
    few = thinned(cells)
    findings = []
    if parts_of(few).body.count() >= 0.5 * len(few):
        parts = parts_of(cells)
        n_numbers = parts.body.count()
        units = parts.unit.filter(parts.body.is_not_null() & (parts.unit != "")).unique(maintain_order=True)
        other = cells.filter(parts.body.is_null()).unique(maintain_order=True).head(3).to_list()
        ways = f"in several units ({', '.join(units.head(4))})" if len(units) > 1 else "but not in the rest"
        rest = f" ({', '.join(map(repr, other))})" if other and len(units) <= 1 else ""
        sentence = f"{text.name} has numbers in {n_numbers:,} of {len(cells):,} cells, {ways}{rest}: read as text."
        setting = f"data.types: {{{text.name}: number}}"
        findings.append(Finding(code="partly_numbers", columns=(text.name,), sentence=sentence, setting=setting,
                                is_warning=True))  # fmt: skip
    return Decision(ColumnReading(name=text.name, kind="category"), "text", findings=findings)
