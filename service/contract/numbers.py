"""Numbers as people read them: with the digits that mean something, whatever their magnitude.

The page has the same rules in `service/dashboard/static/numbers.js`; a test holds the two equal.
"""

from __future__ import annotations

import math
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import NamedTuple

DECIMALS = 5
"""The decimals of a score, as long as they show `LEAST` to `MOST` significant digits."""
LEAST, MOST = 5, 7
SMALLEST, GREATEST = -4, 6
"""The exponents of ten between which a number is written without one."""
NONE = "–"
_EXACT = Context(prec=1100, rounding=ROUND_HALF_UP)
"""Half is rounded away from zero, as JavaScript does; a double has at most 767 digits."""


class _Parts(NamedTuple):
    """A number rounded to some significant digits: ± 0.d₁d₂… × 10^(exponent + 1), without zeros at the end."""

    sign: str
    digits: str
    exponent: int


def number(value: float, digits: int = 4) -> str:
    """Write a number with so many significant digits; zeros at the end are left out: 0.05, 12346, 2.6e-5.

    All digits before the point are shown: only decimals are rounded off.
    """
    if not math.isfinite(value):
        return "not finite"
    rounded = _rounded(value, digits)
    if not SMALLEST <= rounded.exponent <= GREATEST:
        return _scientific(rounded)
    text = _fixed(value, max(0, digits - 1 - rounded.exponent))
    return text.rstrip("0").rstrip(".") if "." in text else text


def score(value: float | None) -> str:
    """Write a score: with five decimals where these are five to seven significant digits, else with the nearest number.

    So 0.98442 and 12.34568, but 0.012346, 1234.568 and 2.6e-5. None is a dash.
    """
    if value is None:
        return NONE
    decimals = _decimals(value)
    return number(value, LEAST) if decimals is None else _fixed(value, decimals)


def spread(value: float | None, of: float | None) -> str:
    """Write a spread with the decimals of the score that it belongs to; in two digits where those do not suit it."""
    if value is None:
        return NONE
    decimals = None if of is None else _decimals(of)
    if decimals is None or value == 0.0 or _rounded(value, LEAST).exponent > GREATEST:
        return number(value, 2)
    shown = _fixed(value, decimals)
    return shown if any(c in "123456789" for c in shown) else number(value, 2)


def size(n_bytes: int) -> str:
    """Write a size in bytes as people do: in bytes, kB, MB or GB."""
    for unit, one in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if n_bytes >= one:
            return f"{n_bytes / one:.1f} {unit}"
    return f"{n_bytes} bytes"


def _decimals(of: float) -> int | None:
    """Choose the decimals of a score; None for 0 and where it is written with an exponent."""
    if of == 0.0 or not math.isfinite(of):
        return None
    exponent = _rounded(of, LEAST).exponent
    if not SMALLEST <= exponent <= GREATEST:
        return None
    return min(max(DECIMALS, LEAST - 1 - exponent), max(0, MOST - 1 - exponent))


def _rounded(value: float, digits: int) -> _Parts:
    if value == 0.0:
        return _Parts("", "0", 0)
    exact = Decimal(value)
    exponent = exact.adjusted()
    kept = int(abs(exact).scaleb(digits - 1 - exponent, _EXACT).quantize(Decimal(1), context=_EXACT))
    if kept == 10**digits:  # 9.99… is rounded up to 10
        kept, exponent = kept // 10, exponent + 1
    return _Parts("-" if value < 0 else "", str(kept).rstrip("0"), exponent)


def _scientific(parts: _Parts) -> str:
    rest = f".{parts.digits[1:]}" if len(parts.digits) > 1 else ""
    return f"{parts.sign}{parts.digits[0]}{rest}e{parts.exponent}"


def _fixed(value: float, decimals: int) -> str:
    text = f"{Decimal(value).quantize(Decimal(1).scaleb(-decimals), context=_EXACT):f}"
    return text.removeprefix("-") if not any(c in "123456789" for c in text) else text
