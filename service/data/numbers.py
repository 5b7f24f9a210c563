"""Find how the numbers of a text column are written, and convert them: decimal sign, groups, units, digits.

The conversion itself is polars'; this module only takes away what surrounds and groups the digits.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from foldstep.service.contract.reading import ColumnReading, Decimal
from foldstep.service.data.clocks import clock_seconds

_CURRENCY = (
    r"[$€£¥￥₹₽₩₺₪₫₴₦฿]|(?:US|AU|A|CA|C|NZ|HK|NT|R)\$|kr\.?|Rs\.?|zł|Kč|Ft|CHF|EUR|USD|GBP|JPY|CNY|INR|BRL|SEK|NOK|DKK"
    r"|PLN|CZK|HUF|CAD|AUD|NZD|ZAR|MXN|TRY|RUB|KRW|HKD|SGD"
)
_SIGN = r"[+\-\x{2212}\x{2013}]"
_SPACE = r"[\s\x{00a0}\x{202f}]*"
_GROUP_MARKS = " '\u2019\u00a0\u202f"
"""Characters that group digits and are never a decimal sign."""
_EXPONENT = r"(?:[eE][+\-]?\d+)?"
_BODY = rf"\d[\d.,{_GROUP_MARKS}]*\d{_EXPONENT}|\d[.,]?{_EXPONENT}|[.,]\d+{_EXPONENT}"
_UNIT = r"[%‰]|" + _CURRENCY + r"|[\pL°µμΩ][\pL°µμΩ/²³^·0-9]{0,11}"
_CELL = (
    rf"^(?P<open>\()?{_SPACE}(?P<before>{_CURRENCY})?{_SPACE}(?P<sign>{_SIGN})?{_SPACE}(?P<inner>{_CURRENCY})?{_SPACE}"
    rf"(?P<body>{_BODY}){_SPACE}(?P<after>{_UNIT})?{_SPACE}(?P<trailing>-)?(?P<close>\))?$"
)
_OPEN = r"^[1-9]\d{0,2}%s\d{3}$"
"""One mark before three digits: a group or three decimals, which the cell alone does not tell."""
_WHOLE = (
    rf"^(?:\d*[.,]?\d+|\d+[.,]|\d{{1,3}}(?:[.,{_GROUP_MARKS}]\d{{3}})+(?:[.,]\d*)?|\d{{1,2}}(?:,\d{{2}})+,\d{{3}}(?:\.\d*)?)"
    rf"{_EXPONENT}$"
)
"""A number in some way of writing, unlike `192.168.0.1` and `030 1234567`."""
_DIGITS = {chr(first + digit): str(digit) for first in (0x0660, 0x06F0, 0x0966, 0xFF10) for digit in range(10)} | {
    "\u066b": ".",
    "\u066c": ",",
    "\uff0e": ".",
    "\uff0c": ",",
}
"""Arabic, Persian, Devanagari and full-width digits with their marks."""


@dataclass(frozen=True)
class Evidence:
    """How many cells tell the decimal sign for certain, and how many could be read both ways.

    Attributes:
        comma: cells whose decimal sign is a comma.
        point: cells whose decimal sign is a point.
        open_comma: cells such as `1,680`.
        open_point: cells such as `1.680`.
    """

    comma: int
    point: int
    open_comma: int
    open_point: int

    @property
    def decimal(self) -> Decimal | None:
        """The decimal sign that most cells tell; None where none does."""
        if self.comma == self.point == 0:
            return None
        return "," if self.comma > self.point else "."


@dataclass(frozen=True)
class Parts:
    """The cells of a column as numbers with what surrounds them.

    Attributes:
        body: digits with marks; null where a cell is no number in any way of writing.
        unit: the text around each number, empty where there is none.
        negative: whether a sign, or brackets as in accounts, make it negative.
    """

    body: pl.Series
    unit: pl.Series
    negative: pl.Series


def parts_of(text: pl.Series) -> Parts:
    """Split cells into numbers and what surrounds them; cells are trimmed and not missing, or null."""
    found = text.str.extract_groups(_CELL).struct.unnest()
    bracketed = found["open"].is_not_null() & found["close"].is_not_null()
    is_odd = (found["open"].is_not_null() != found["close"].is_not_null()).fill_null(False)
    n_units = sum(found[name].is_not_null().cast(pl.UInt8) for name in ("before", "inner", "after"))
    unit = pl.select(pl.coalesce(found["before"], found["inner"], found["after"], pl.lit(""))).to_series()
    minus = found["sign"].is_in(["-", "\u2212", "\u2013"]).fill_null(False) | found["trailing"].is_not_null()
    body = pl.select(
        pl.when(pl.lit(is_odd) | (pl.lit(n_units) > 1)).then(None).otherwise(pl.lit(found["body"]))
    ).to_series()
    return Parts(body, unit, minus | bracketed)


def evidence_of(body: pl.Series) -> Evidence:
    """Count what the bodies of numbers tell of the decimal sign."""
    digits = body.str.replace_all(f"[{_GROUP_MARKS}]", "")
    is_open_comma, is_open_point = (digits.str.contains(_OPEN % mark) for mark in (",", r"\."))

    def n(pattern: str, but: pl.Series) -> int:
        return int((digits.str.contains(pattern) & ~but).sum() or 0)

    nothing = is_open_comma & is_open_point
    comma = n(rf"^\d*,\d+{_EXPONENT}$", is_open_comma) + n(r"^\d{1,3}(\.\d{3})+,\d+$|^\d{1,3}(\.\d{3}){2,}$", nothing)
    point = n(rf"^\d*\.\d+{_EXPONENT}$", is_open_point) + n(r"^\d{1,3}(,\d{3})+\.\d+$|^\d{1,3}(,\d{3}){2,}$", nothing)
    point += n(r"^\d{1,2}(,\d{2})+,\d{3}(\.\d+)?$", nothing)  # groups as in India
    return Evidence(comma, point, int(is_open_comma.sum() or 0), int(is_open_point.sum() or 0))


def to_numbers(text: pl.Series, reading: ColumnReading) -> pl.Series:
    """Convert cells to float64 by a column's reading; null where a cell does not fit it, or is missing."""
    if reading.is_clock:
        return clock_seconds(text)
    if reading.thousands or reading.unit or reading.decimal == ",":
        return _written(in_ascii(text), reading)
    plain = text.cast(pl.Float64, strict=False)
    if plain.null_count() == text.null_count():
        return plain
    rest = pl.select(pl.when(pl.lit(plain).is_null()).then(pl.lit(text)).otherwise(None)).to_series()
    return pl.select(pl.coalesce(pl.lit(plain), pl.lit(_written(in_ascii(rest), reading)))).to_series()


def _written(text: pl.Series, reading: ColumnReading) -> pl.Series:
    parts = parts_of(text)
    unit = pl.lit(folded(parts.unit))
    is_own = (unit == "") | (unit == fold(reading.unit))
    body = pl.select(pl.when(is_own).then(pl.lit(parts.body)).otherwise(None)).to_series()
    values = _digits(body, reading).cast(pl.Float64, strict=False)
    return pl.select(pl.when(pl.lit(parts.negative)).then(-pl.lit(values)).otherwise(pl.lit(values))).to_series()


def fold(unit: str) -> str:
    """Write a unit of several letters in lower case, so that kg, Kg and KG are one; m and M are two."""
    return unit.lower() if len(unit) > 1 else unit


def folded(units: pl.Series) -> pl.Series:
    """Apply `fold` to units."""
    is_long = pl.lit(units).str.len_chars() > 1
    return pl.select(pl.when(is_long).then(pl.lit(units).str.to_lowercase()).otherwise(pl.lit(units))).to_series()


def in_ascii(text: pl.Series) -> pl.Series:
    """Write other scripts' digits and marks of numbers as 0 to 9, points and commas."""
    if not text.str.contains(r"[\d--0-9]").any():
        return text
    return text.str.replace_many(list(_DIGITS), list(_DIGITS.values()))


def is_number(body: pl.Series) -> pl.Series:
    """Tell for each body whether it is a number in some way of writing."""
    return body.str.contains(_WHOLE).fill_null(False)


def _digits(body: pl.Series, reading: ColumnReading) -> pl.Series:
    """Take away the groups' marks where they stand between whole groups, and turn the decimal sign into a point."""
    decimal = r"\." if reading.decimal == "." else ","
    whole = r"\d*"
    if reading.thousands:
        mark = f"[{reading.thousands.replace('.', chr(92) + '.')}]"
        whole = rf"(?:\d*|\d{{1,3}}(?:{mark}\d{{3}})+|\d{{1,2}}(?:{mark}\d{{2}})+{mark}\d{{3}})"
    fits = body.str.contains(rf"^{whole}(?:{decimal}\d*)?{_EXPONENT}$")
    bare = body.str.replace_all(f"[{reading.thousands}]", "") if reading.thousands else body
    bare = bare.str.replace(",", ".", literal=True) if reading.decimal == "," else bare
    return pl.select(pl.when(pl.lit(fits)).then(pl.lit(bare)).otherwise(None)).to_series()


def marks_in(body: pl.Series, decimal: str) -> str:
    """Collect the characters that group digits in the bodies, under a decimal sign."""
    candidates = ("," if decimal == "." else ".") + _GROUP_MARKS
    return "".join(mark for mark in candidates if body.str.contains(mark, literal=True).any())
