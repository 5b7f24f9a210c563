"""The section "What matters" in a real browser, over a real master with a real worker."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest

from tests.acceptance.processes import Processes
from tests.service.dashboard.browser import Browser, is_shown

SPEC: dict[str, Any] = {
    "name": "varied", "method": "random", "seed": 1, "data": {"dataset": "iris"}, "cv": {"folds": 2},
    "budget": {"trials": 40},
    "parameters": {
        "lr": {"low": 1e-4, "high": 1.0, "log": True}, "width": {"low": 4, "high": 12},
        "dropout": {"low": 0.0, "high": 0.8}, "optimizer": ["adam", "sgd"], "epochs": 4,
    },
}  # fmt: skip


class Place:
    """A master with a search that says what matters, and one with too few trials to tell."""

    def __init__(self, processes: Processes) -> None:
        _, self.master = processes.master()
        processes.worker(self.master)
        self.varied = self.master.submit(SPEC).id
        self.short = self.master.submit({**SPEC, "name": "short", "budget": {"trials": 3}}).id
        for search in (self.varied, self.short):
            assert self.master.wait(search).state == "completed"

    def address(self, search: str) -> str:
        return self.master.page_link(search)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with Processes(tmp_path_factory.mktemp("matters")) as processes:
        yield Place(processes)


def texts(browser: Browser, selector: str) -> list[str]:
    found: list[str] = browser.evaluate(f"[...document.querySelectorAll({selector!r})].map(e => e.innerText)")
    return found


def look(browser: Browser, place: Place, search: str) -> None:
    """Open a search and, as the keyboard does, its section."""
    browser.open(place.address(search))
    browser.until(is_shown("detail"), "the search")
    browser.evaluate("document.querySelector('#matters summary').focus()")
    browser.press_enter()
    browser.until(is_shown("matters-found"), "the answer")


def compare_by(browser: Browser, name: str) -> None:
    browser.evaluate(f"document.getElementById('compare-by').value = '{name}'")
    browser.evaluate("document.getElementById('compare-by').dispatchEvent(new Event('change'))")


def test_nothing_is_asked_before_the_section_is_opened(place: Place, browser: Browser) -> None:
    asked = "performance.getEntriesByType('resource').filter(e => e.name.includes('/importance')).length"
    polls = "performance.getEntriesByType('resource').filter(e => e.name.includes('/leaderboard')).length"
    browser.open(place.address(place.varied))
    browser.until(f"{polls} >= 2", "the polling")
    assert browser.evaluate(asked) == 0
    browser.evaluate("document.querySelector('#matters summary').click()")
    browser.until(is_shown("matters-found"), "the answer")
    browser.evaluate("window.before = document.querySelector('#effects li')")
    browser.until(f"{polls} >= 4", "the polling")
    assert browser.evaluate(asked) == 1
    assert browser.evaluate("window.before.isConnected") is True, "the polling leaves what was drawn"
    browser.evaluate("document.getElementById('matters-again').click()")
    browser.until(f"{asked} === 2", "another answer, for the user asked again")


def test_hyperparameters_are_the_masters_with_share_and_advice(place: Place, browser: Browser) -> None:
    look(browser, place, place.varied)
    report = place.master.importance(place.varied)
    assert texts(browser, "#effects strong") == [row.parameter for row in report.parameters]
    assert texts(browser, "#effects p") == [row.advice for row in report.parameters]
    widths = browser.evaluate("[...document.querySelectorAll('#effects .bar i')].map(e => parseFloat(e.style.width))")
    assert widths == pytest.approx([100 * row.importance for row in report.parameters], abs=1e-3)
    shares = [float(text.split(" %")[0]) for text in texts(browser, "#effects .title .quiet")]
    assert shares == pytest.approx([100 * row.importance for row in report.parameters], abs=0.51)
    assert report.fit is not None
    assert texts(browser, "#matters-said") == [f"40 trials, R² {report.fit:.2f} on trials left out"]
    support = [f"trials: {', '.join(f'{g.value}: {g.trials}' for g in row.support)}" for row in report.parameters]
    assert texts(browser, "#effects .support") == support
    assert all(sum(g.trials for g in row.support) == 40 for row in report.parameters)
    assert report.interactions
    pairs = [" and ".join(pair.parameters) for pair in report.interactions]
    assert [text.split(" matter together")[0] for text in texts(browser, "#interactions li")] == pairs
    assert texts(browser, "#matters-notes li") == report.notes


def test_plots_have_the_scale_of_their_hyperparameter(place: Place, browser: Browser) -> None:
    look(browser, place, place.varied)
    for nth, row in enumerate(place.master.importance(place.varied).parameters):
        figure = f"document.querySelectorAll('#effects figure')[{nth}]"
        dots = [
            browser.evaluate(f"[...{figure}.querySelectorAll('.dot')].map(dot => +dot.getAttribute('{axis}'))")
            for axis in ("cx", "cy")
        ]
        scores = list({point.value: point.score for point in row.effect}.values())
        said = browser.evaluate(f"[...{figure}.querySelectorAll('.dot title')].map(t => t.textContent)")
        assert sum(int(text.split(", ")[-1].split()[0]) for text in said) == 40, "every trial is behind one point"
        assert len(dots[0]) == len(scores)
        steps = [right - left for left, right in pairwise(dots[0])]
        assert steps == pytest.approx([steps[0]] * len(steps)), "the points are even in the hyperparameter's own scale"
        heights = [y for _, y in sorted(zip(scores, dots[1], strict=True))]
        assert heights == sorted(heights, reverse=True), "the greater, the higher"
        caption = browser.evaluate(f"{figure}.querySelector('figcaption').innerText")
        assert caption == f"accuracy by {row.parameter}" + (", log scale" if row.parameter == "lr" else "")
        assert browser.evaluate(f"{figure}.querySelector('svg').getAttribute('aria-label')").startswith(row.parameter)


# upper and lower end of the spread at each dot: of a range on the edges of one band, of a choice on a line of its own
ENDS = """(figure => {
    const band = figure.querySelector('polygon.spread');
    if (!band) return [...figure.querySelectorAll('path.effect')].map(l => l.getBBox()).map(b => [b.y, b.y + b.height]);
    const corners = [...band.points].map(p => p.y);
    return corners.slice(0, corners.length / 2).map((y, i) => [y, corners.at(-1 - i)]);
})"""


def test_spread_is_drawn_on_both_sides_in_one_scale_for_all(place: Place, browser: Browser) -> None:
    look(browser, place, place.varied)
    drawn: list[float] = []
    known: list[float] = []
    for nth, row in enumerate(place.master.importance(place.varied).parameters):
        figure = f"document.querySelectorAll('#effects figure')[{nth}]"
        ends = browser.evaluate(f"{ENDS}({figure})")
        dots = browser.evaluate(f"[...{figure}.querySelectorAll('.dot')].map(dot => +dot.getAttribute('cy'))")
        assert [(upper + lower) / 2 for upper, lower in ends] == pytest.approx(dots, abs=0.1)
        drawn += [lower - upper for upper, lower in ends]
        known += list({point.value: 2 * point.spread for point in row.effect}.values())
    pixels = max(drawn) / max(known)
    assert drawn == pytest.approx([pixels * spread for spread in known], abs=0.3)


def test_choices_are_compared_and_their_best_trial_opens(place: Place, browser: Browser) -> None:
    look(browser, place, place.varied)
    assert texts(browser, "#compare-by option") == ["–", "lr", "width", "dropout", "optimizer"]
    assert browser.evaluate("document.getElementById('compare-found').hidden") is True
    compare_by(browser, "optimizer")
    browser.until(is_shown("compare-found"), "the table")
    comparison = place.master.compare(place.varied, "optimizer")
    assert texts(browser, "#compare-said") == [comparison.sentence]
    assert texts(browser, "#nuisance") == ["accuracy by optimizer; optimised for each: lr, width, dropout"]
    heads = ["optimizer", "trials", "best", "± folds", "trial", f"best of {comparison.equal}", "80 % range"]
    assert texts(browser, "#compare-columns th") == heads
    rows = browser.evaluate(
        "[...document.querySelectorAll('#contenders tr')].map(r => [...r.cells].map(c => c.innerText))"
    )
    for row, contender in zip(rows, comparison.contenders, strict=True):
        assert (row[0], int(row[1]), int(row[4])) == (contender.value, contender.trials, contender.best_trial)
        assert [float(row[2]), float(row[5])] == pytest.approx([contender.best, contender.expected], rel=1e-4)
    browser.evaluate("document.querySelector('#contenders button').click()")
    browser.until(is_shown("trial"), "the trial")
    assert texts(browser, "#trial-title") == [f"Trial {comparison.contenders[0].best_trial}"]


def test_too_few_trials_are_said_in_the_masters_words(place: Place, browser: Browser) -> None:
    look(browser, place, place.short)
    (note,) = place.master.importance(place.short).notes
    assert "too few" in note
    assert texts(browser, "#matters-notes li") == [note]
    assert browser.evaluate("document.querySelectorAll('#effects li').length") == 0
    compare_by(browser, "optimizer")
    browser.until(is_shown("compare-found"), "the comparison")
    assert texts(browser, "#compare-said") == [place.master.compare(place.short, "optimizer").sentence]


def test_refusals_are_shown_as_their_sentence(place: Place, browser: Browser) -> None:
    look(browser, place, place.varied)
    browser.evaluate("document.querySelector('#compare-by option:last-child').value = 'speed'")
    compare_by(browser, "speed")
    browser.until("document.getElementById('compare-said').innerText.startsWith('There is nothing to compare')", "a no")
    assert browser.evaluate("document.getElementById('compare-found').hidden") is True
    browser.evaluate("history.replaceState(null, '', '#nope'); document.getElementById('matters-again').click()")
    browser.until("document.getElementById('matters-said').textContent.includes('nope')", "the master's sentence")
    assert browser.evaluate("document.getElementById('matters-found').hidden") is True
    browser.complaints = [c for c in browser.complaints if "404" not in c and "422" not in c]


def test_another_search_begins_with_the_section_closed(place: Place, browser: Browser) -> None:
    look(browser, place, place.varied)
    browser.evaluate(f"location.hash = '#{place.short}'")
    browser.until(f"document.getElementById('name').innerText.includes('{place.short}')", "the other search")
    assert browser.evaluate("document.getElementById('matters').open") is False
    assert browser.evaluate("document.getElementById('matters-found').hidden") is True


def test_answer_for_a_search_that_was_left_is_dropped(place: Place, browser: Browser) -> None:
    seen = "performance.getEntriesByType('resource').map(e => e.name)"
    browser.open(place.address(place.varied))
    browser.until(is_shown("detail"), "the search")
    leave = f"() => {{ location.hash = '#{place.short}'; }}"
    browser.evaluate(f"document.getElementById('matters').addEventListener('toggle', {leave}, {{ once: true }})")
    browser.evaluate("document.querySelector('#matters summary').click()")
    browser.until(f"{seen}.some(name => name.includes('/importance'))", "the answer")
    browser.until(f"{seen}.filter(name => name.includes('{place.short}/leaderboard')).length >= 2", "the polling")
    assert browser.evaluate("document.getElementById('matters-found').hidden") is True
    assert browser.evaluate("document.getElementById('matters-said').textContent") == ""
