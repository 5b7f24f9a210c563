"""A scatter of two positive quantities as an SVG: logarithmic axes of the same range, a diagonal, a legend."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

SIZE, LEFT, TOP, BOTTOM = 560, 80, 50, 60
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9")  # distinguishable with colour blindness


@dataclass(frozen=True)
class Point:
    """One dot.

    Attributes:
        group: decides the colour and stands in the legend.
        label: shown when the pointer rests on the dot.
    """

    x: float
    y: float
    group: str
    label: str


def scatter(points: Sequence[Point], title: str, x_title: str, y_title: str) -> str:
    """Draw the scatter plot as SVG; points that are not finite lie on the upper edge of the range."""
    axis = _Axis(points)
    groups = list(dict.fromkeys(p.group for p in points))
    colour = dict(zip(groups, (COLOURS[i % len(COLOURS)] for i in range(len(groups))), strict=True))
    width, height = LEFT + SIZE + 20, TOP + SIZE + BOTTOM
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
        ' font-family="sans-serif" font-size="13" fill="#222">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        _text(LEFT + SIZE / 2, 28, title, size=16),
        *_frame(axis, x_title, y_title),
        *(_dot(axis, p, colour[p.group]) for p in points),
        *_legend(groups, colour),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


class _Axis:
    """Both axes: whole decades around all finite values."""

    def __init__(self, points: Sequence[Point]) -> None:
        finite = [v for p in points for v in (p.x, p.y) if math.isfinite(v)]
        self.low, self.high = math.floor(math.log10(min(finite))), math.ceil(math.log10(max(finite)))

    def share(self, value: float) -> float:
        """Compute the position of a value on the axis, from 0 to 1."""
        exponent = math.log10(value) if math.isfinite(value) else self.high
        return (exponent - self.low) / max(self.high - self.low, 1)

    def x(self, value: float) -> float:
        return LEFT + SIZE * self.share(value)

    def y(self, value: float) -> float:
        return TOP + SIZE * (1 - self.share(value))


def _frame(axis: _Axis, x_title: str, y_title: str) -> Iterable[str]:
    bottom, right = TOP + SIZE, LEFT + SIZE
    for exponent in range(axis.low, axis.high + 1):
        x, y = axis.x(10.0**exponent), axis.y(10.0**exponent)
        yield _line(x, TOP, x, bottom, "#ddd") + _line(LEFT, y, right, y, "#ddd")
        yield _text(x, bottom + 20, f"{10.0**exponent:g}")
        yield _text(LEFT - 8, y + 4, f"{10.0**exponent:g}", anchor="end")
    yield _line(LEFT, bottom, right, TOP, "#888")
    yield _text(LEFT + SIZE / 2, bottom + 45, x_title)
    middle = TOP + SIZE / 2
    yield f'<g transform="rotate(-90 20 {middle})">{_text(20, middle, y_title)}</g>'


def _dot(axis: _Axis, point: Point, colour: str) -> str:
    x, y = axis.x(point.x), axis.y(point.y)
    return (
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}" fill-opacity="0.65">'
        f"<title>{escape(point.label)}</title></circle>"
    )


def _legend(groups: Sequence[str], colour: dict[str, str]) -> Iterable[str]:
    for i, group in enumerate(groups):
        y = TOP + 20 + 20 * i
        yield f'<circle cx="{LEFT + 16}" cy="{y}" r="5" fill="{colour[group]}"/>'
        yield _text(LEFT + 28, y + 4, group, anchor="start")


def _line(x1: float, y1: float, x2: float, y2: float, colour: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"/>'


def _text(x: float, y: float, text: str, *, size: int = 13, anchor: str = "middle") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}">{escape(text)}</text>'
