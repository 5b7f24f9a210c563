"""The section "Data" of a search's page, in a real browser, over a real master."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.processes import Processes
from tests.service.dashboard.browser import Browser, is_shown

CELLS = [("A&<b>x</b>" if i % 2 else "B", "-" if i == 7 else f"{i * 0.37:.2f}", "same", str(i % 2)) for i in range(60)]
SPEC = {"name": "odd", "data": {"dataset": "odd.csv", "target": "y"}, "parameters": {"epochs": 1}, "cv": {"folds": 2}}


class Place:
    """A master with a search on a table with a stray cell, a constant column and markup in a category."""

    def __init__(self, processes: Processes) -> None:
        _, self.master = processes.master()
        self.file = processes.data_dir / "odd.csv"
        self.write("same")
        spec = {**SPEC, "data": {"dataset": str(self.file), "target": "y"}}
        self.search = self.master.submit(spec).id

    def write(self, constant: str) -> None:
        rows = ["kind,x,c,y", *(f"{kind},{x},{constant},{y}" for kind, x, _, y in CELLS)]
        self.file.write_text("\n".join(rows) + "\n")


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with Processes(tmp_path) as processes:
        yield Place(processes)


def open_section(browser: Browser, place: Place) -> None:
    browser.open(place.master.page_link(place.search))
    browser.until(is_shown("detail"), "the search")
    browser.evaluate("document.querySelector('#data summary').focus()")
    browser.press_enter()


def test_columns_and_findings_are_shown_as_text(place: Place, browser: Browser) -> None:
    open_section(browser, place)
    browser.until(is_shown("data-found"), "the report")
    text: str = browser.evaluate("document.getElementById('data-found').innerText")
    report = place.master.search_data(place.search)
    sentences = [finding.sentence for finding in report.data.findings]
    assert any("x is numbers but for 1 cell ('-')" in sentence for sentence in sentences)
    assert all(sentence in text for sentence in sentences)
    assert "left out: constant" in text
    assert "A&<b>x</b> (30)" in text
    heads = browser.evaluate("[...document.querySelectorAll('#data-heads th')].map(e => e.innerText)")
    assert heads == ["column", "as", "missing", "different", "values"]
    first = browser.evaluate("document.querySelector('#data-findings li').innerText")
    assert first.startswith("Look: ")


def test_data_that_changed_since_have_no_report(place: Place, browser: Browser) -> None:
    place.write("other")
    open_section(browser, place)
    browser.until("document.getElementById('data-said').textContent.includes('other data by now')", "the sentence")
    assert browser.evaluate("document.getElementById('data-found').hidden") is True
    browser.complaints = [c for c in browser.complaints if "409" not in c]
