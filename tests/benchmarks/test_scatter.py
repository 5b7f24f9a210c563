"""The scatter picture: well-formed, dots where they belong, nothing left out."""

from __future__ import annotations

import math
from xml.etree import ElementTree

from benchmarks.scatter import LEFT, SIZE, TOP, Point, scatter

SVG = "{http://www.w3.org/2000/svg}"


def dots(points: list[Point]) -> list[tuple[float, float]]:
    picture = ElementTree.fromstring(scatter(points, "<title>", "x & y", "y"))
    with_title = [c for c in picture.iter(f"{SVG}circle") if c.find(f"{SVG}title") is not None]
    return [(float(c.attrib["cx"]), float(c.attrib["cy"])) for c in with_title]


def test_equal_values_lie_on_the_diagonal_and_decades_are_equally_far_apart() -> None:
    values = [0.01, 0.1, 1.0, 10.0, 100.0]
    places = dots([Point(v, v, "g", "") for v in values])
    assert places == [(LEFT + SIZE * i / 4, TOP + SIZE * (4 - i) / 4) for i in range(5)]


def test_more_on_the_y_axis_is_higher_up() -> None:
    (_, lower), (_, higher) = dots([Point(1, 0.02, "g", ""), Point(1, 0.5, "g", "")])
    assert higher < lower


def test_diverged_configurations_lie_on_the_upper_edge() -> None:
    places = dots([Point(0.1, math.inf, "diverged", "a < b"), Point(0.02, 0.5, "g", "")])
    assert places[0][1] == TOP
    assert len(places) == 2


def test_every_group_is_in_the_legend() -> None:
    picture = scatter([Point(1, 2, "batch size 8", ""), Point(1, 3, "batch size 16", "")], "t", "x", "y")
    assert picture.count(">batch size 8</text>") == picture.count(">batch size 16</text>") == 1
