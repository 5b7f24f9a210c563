"""Numbers are written with the digits that mean something, by the page as by everything else."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterator

import pytest

from foldstep.service.contract.numbers import number, score, spread
from tests.acceptance.processes import Processes
from tests.service.dashboard.browser import Browser

EDGES = [0.0, -0.0, 1.0, 0.5, 0.98442, 2.6e-5, 2.583e-5, 9.9999e-5, 9.99999e-5, 1e-4, 0.515625, -0.515625, 0.0999996,
         12.34567, 1234.5678, 999999.95, 9999999.4, 9999999.6, 1e7, 12345500.0, -122.0, -1e-9, 1e-300, 1e300,
         5e-324]  # fmt: skip


@pytest.mark.parametrize(
    ("value", "as_score", "as_number"),
    [
        (0.98442, "0.98442", "0.9844"),
        (0.5, "0.50000", "0.5"),
        (1.0, "1.00000", "1"),
        (0.0, "0", "0"),
        (2.6e-5, "2.6e-5", "2.6e-5"),
        (2.583e-5, "2.583e-5", "2.583e-5"),
        (1.23456789e-10, "1.2346e-10", "1.235e-10"),
        (0.0123456, "0.012346", "0.01235"),
        (12.34567, "12.34567", "12.35"),
        (51234.5678, "51234.57", "51235"),
        (-122.3456789, "-122.3457", "-122.3"),
        (0.515625, "0.51563", "0.5156"),
        (0.09999999, "0.10000", "0.1"),
        (1e300, "1e300", "1e300"),
        (math.inf, "not finite", "not finite"),
    ],
)
def test_meaningful_digits(value: float, as_score: str, as_number: str) -> None:
    assert (score(value), number(value)) == (as_score, as_number)


@pytest.mark.parametrize(
    ("around", "of", "written"),
    [(0.00608, 0.98442, "0.00608"), (0.1, 0.98442, "0.10000"), (1e-7, 0.98442, "1e-7"), (0.0, 0.98442, "0"),
     (1.234e-6, 2.583e-5, "1.2e-6"), (12.3456, 51234.5678, "12.35"), (0.25, None, "0.25"), (0.25, 0.0, "0.25"),
     (1e300, 0.5, "1e300")],
)  # fmt: skip
def test_a_spread_has_the_digits_of_its_score(around: float, of: float | None, written: str) -> None:
    assert spread(around, of) == written


def test_nothing_is_a_dash() -> None:
    assert (score(None), spread(None, 0.5), spread(None, None)) == ("–", "–", "–")


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with Processes(tmp_path_factory.mktemp("numbers")) as processes:
        _, master = processes.master()
        yield f"{master.url}/"


def test_the_page_writes_numbers_as_python_does(address: str, browser: Browser) -> None:
    chance = random.Random(0)
    drawn = [chance.choice([-1, 1]) * chance.random() * 10.0 ** chance.randint(-12, 12) for _ in range(500)]
    ties = [chance.randint(1, 10**6) / 2 ** chance.randint(1, 14) for _ in range(300)]
    values = [*EDGES, *drawn, *ties]
    pairs = [[abs(a), b] for a, b in zip(values, values[::-1], strict=True)]
    browser.open(address)
    twin = "([a, b]) => [n.score(b), n.number(b), n.number(b, 2), n.spread(a, b)]"
    found = browser.evaluate(f"import('./numbers.js').then(n => {json.dumps(pairs)}.map({twin}))")
    assert found == [[score(b), number(b), number(b, 2), spread(a, b)] for a, b in pairs]
