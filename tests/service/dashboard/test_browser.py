"""The page in a real browser, over a real master with a real worker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.processes import Processes
from tests.service.dashboard.browser import Browser, is_shown

HOSTILE_FILE = "<img src=x onerror=window.hacked=1>.csv"
HOSTILE_COLUMN = "<script>window.hacked=2</script>"
SPEC: dict[str, Any] = {
    "name": "shown", "data": {"dataset": "iris"}, "cv": {"folds": 2}, "budget": {"trials": 4},
    "parameters": {"lr": {"low": 1e-3, "high": 1e-1, "log": True}, "activation": ["relu", "tanh"], "epochs": 3},
}  # fmt: skip


class Place:
    """A master with a finished search, one under way and one with hostile names."""

    def __init__(self, folder: Path, processes: Processes) -> None:
        _, self.master = processes.master(FOLDSTEP_DATA_ROOTS=str(folder))
        self.url, self.token = self.master.url, (processes.data_dir / "token").read_text().strip()
        processes.worker(self.master)
        rows = "".join(f"{i},{'ab'[i % 2]}\n" for i in range(40))
        (folder / HOSTILE_FILE).write_text(f"x,{HOSTILE_COLUMN}\n{rows}")
        self.finished = self.master.submit(SPEC).id
        self.hostile = self.master.submit(
            {**SPEC, "name": "hostile", "data": {"dataset": HOSTILE_FILE, "target": HOSTILE_COLUMN}}
        ).id
        for search in (self.finished, self.hostile):
            assert self.master.wait(search).state == "completed"
        self.checked = self.master.submit({**SPEC, "name": "checked", "checks": {"before": True}}).id
        self.unsound = self.master.submit(
            {**SPEC, "name": "unsound", "checks": {"before": True}, "parameters": {"lr": 1e-30, "epochs": 3}}
        ).id
        for search, state in ((self.checked, "completed"), (self.unsound, "failed")):
            assert self.master.wait(search).state == state
        self.endless = self.master.submit({**SPEC, "name": "endless", "budget": {"trials": 100_000}}).id

    def address(self, search: str = "") -> str:
        return self.master.page_link(search or None)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("page")
    with Processes(folder) as processes:
        yield Place(folder, processes)


def test_without_a_token_the_page_asks_for_one_and_shows_nothing(place: Place, browser: Browser) -> None:
    browser.open(f"{place.url}/")
    browser.until(is_shown("login"), "the question")
    assert "Which token?" in browser.text()
    assert place.finished not in browser.text()
    sign_in(browser, "a guess")
    browser.until("document.getElementById('alert').innerText.includes('does not accept this token')", "the refusal")
    assert place.finished not in browser.text()
    sign_in(browser, place.token)
    browser.until(is_shown("searches"), "the searches")
    assert {place.finished, place.hostile, place.endless} <= set(browser.text().split())


def sign_in(browser: Browser, token: str) -> None:
    browser.evaluate(f"document.getElementById('token').value = {token!r}")
    browser.evaluate("document.querySelector('#login button').click()")


def test_a_link_opens_the_page_once_and_no_script_sees_what_it_gave(place: Place, browser: Browser) -> None:
    address = place.address()
    browser.open(address)
    browser.until(is_shown("searches"), "the searches")
    assert browser.evaluate("location.href") == f"{place.url}/"
    seen = browser.evaluate("document.cookie + JSON.stringify(sessionStorage) + JSON.stringify(localStorage)")
    assert seen == "{}{}"
    assert "1 worker" in browser.text()
    browser.evaluate(f"document.querySelector('a[href=\"#{place.finished}\"]').click()")
    browser.until(is_shown("detail"), "one search")
    assert place.finished in browser.evaluate("document.title")
    browser.open(f"{place.url}/#{place.finished}")
    browser.until(is_shown("detail"), "the session holds without a link")
    browser.evaluate("document.getElementById('sign-out').click()")
    browser.until(is_shown("login"), "the end of the session")
    assert place.finished not in browser.text()
    browser.open(address)
    browser.until("document.getElementById('alert').innerText.includes('used before')", "the refusal of a used link")
    assert place.finished not in browser.text()


def test_leaderboard_is_the_masters(place: Place, browser: Browser) -> None:
    browser.open(place.address(place.finished))
    browser.until("document.querySelectorAll('#rows tr').length === 4", "four rows")
    heads = browser.evaluate("[...document.querySelectorAll('#columns th')].map(h => h.innerText)")
    cells = browser.evaluate("[...document.querySelectorAll('#rows tr')].map(r => [...r.cells].map(c => c.innerText))")
    shown = [dict(zip(heads, row, strict=True)) for row in cells]
    expected = place.master.leaderboard(place.finished).rows
    assert [(int(r["rank"]), int(r["trial"])) for r in shown] == [(t.rank, t.trial) for t in expected]
    for row, trial in zip(shown, expected, strict=True):
        assert trial.score is not None
        assert float(row["accuracy"]) == pytest.approx(trial.score, rel=1e-4)
        assert float(row["lr"]) == pytest.approx(trial.params["lr"], rel=1e-3)
        assert (row["activation"], row["epochs"], row["state"]) == (trial.params["activation"], "3/3", "completed")
    search = place.master.search(place.finished)
    assert search.checkpoint_dir in browser.text()
    facts = browser.evaluate("[...document.querySelectorAll('#numbers div')].map(d => d.innerText)")
    (baseline,) = [fact.split() for fact in facts if fact.lower().startswith("baseline")]
    assert search.baseline is not None
    assert float(baseline[1]) == pytest.approx(search.baseline, rel=1e-4)
    assert baseline[2:] == ["the", "constant", "answer"]


def test_progress_is_one_line_of_what_the_master_says(place: Place, browser: Browser) -> None:
    browser.open(place.address(place.finished))
    line = "document.getElementById('progress-line').innerText"
    browser.until(f"{line}.includes('ended')", "the line")
    assert browser.evaluate(line) == "ended · 12 of 12 epochs · 4 of 4 trials"
    assert browser.evaluate("document.getElementById('progress').getAttribute('aria-valuenow')") == "12"
    browser.open(place.address(place.endless))
    browser.until(f"{line}.includes('networks in training')", "a search under way")
    assert "epochs · " in browser.evaluate(line)


def test_number_of_a_trial_opens_its_diagnosis(place: Place, browser: Browser) -> None:
    browser.open(place.address(place.finished))
    browser.until("document.querySelectorAll('#rows tr').length === 4", "four rows")
    assert browser.evaluate("document.getElementById('trial').hidden") is True
    browser.evaluate("document.querySelector('[data-trial=\"2\"]').click()")
    browser.until(is_shown("trial"), "the trial")
    seen = place.master.diagnostics(place.finished, 2)
    said = browser.evaluate("[...document.querySelectorAll('#diagnoses li')].map(i => i.innerText)")
    assert said == [d.sentence for d in seen.diagnoses]
    assert browser.evaluate("document.querySelectorAll('#curves svg polyline').length") == 2 * len(seen.folds)
    points = browser.evaluate("document.querySelector('#curves polyline.valid').getAttribute('points')")
    assert len(points.split()) == len(seen.folds[0].valid_loss) == 3
    browser.evaluate("document.getElementById('close-trial').click()")
    assert browser.evaluate("document.getElementById('trial').hidden") is True


def test_what_users_wrote_is_text_and_never_markup(place: Place, browser: Browser) -> None:
    for address in (place.address(), place.address(place.hostile)):
        browser.open(address)
        browser.until(f"document.body.innerText.includes({HOSTILE_FILE!r})", "the file's name as it is")
        assert browser.evaluate("window.hacked === undefined") is True
        assert browser.evaluate("document.querySelectorAll('img[onerror], body script:not([src])').length") == 0
    assert HOSTILE_COLUMN in browser.text(), "the note on the target names it as it is"


def test_checks_are_shown_one_line_each(place: Place, browser: Browser) -> None:
    browser.open(place.address(place.unsound))
    browser.until("document.querySelectorAll('#checks li').length === 5", "five checks")
    lines = browser.evaluate("[...document.querySelectorAll('#checks li')].map(l => l.innerText)")
    checks = place.master.search(place.unsound).checks
    assert checks is not None
    for line, result in zip(lines, checks.results, strict=True):
        assert line.startswith(f"{result.name} {result.outcome}: {result.sentence}")
    assert "Look at lr" in next(line for line in lines if line.startswith("overfit failed"))
    browser.open(place.address(place.finished))
    browser.until("document.querySelectorAll('#rows tr').length === 4", "the leaderboard")
    assert browser.evaluate("document.getElementById('check-card').hidden") is True


def test_buttons_pause_and_resume(place: Place, browser: Browser) -> None:
    browser.open(place.address(place.endless))
    browser.until(is_shown("detail"), "the search")
    for verb, state in (("pause", "paused"), ("resume", "running")):
        browser.evaluate(f"document.querySelector('[data-verb={verb}]').click()")
        browser.until(f"document.querySelector('#name .state').innerText === '{state}'", state)
        assert place.master.search(place.endless).state == state


def test_extend_asks_by_how_much_and_the_search_goes_on(place: Place, browser: Browser) -> None:
    before = place.master.search(place.checked).trials
    assert before is not None
    browser.open(place.address(place.checked))
    browser.until(is_shown("detail"), "the search")
    shown = "[...document.querySelectorAll('#actions button')].filter(b => !b.hidden).map(b => b.innerText)"
    assert browser.evaluate(shown) == ["Extend"], "what is over cannot be paused or stopped"
    assert browser.evaluate("document.getElementById('extension').hidden") is True
    browser.evaluate("document.querySelector('[data-verb=extend]').click()")
    browser.until(is_shown("extension"), "the question")
    browser.evaluate("document.getElementById('more-trials').value = '3'")
    browser.evaluate("document.querySelector('#extension button').click()")
    browser.until(f"document.getElementById('numbers').innerText.includes(' of {before + 3}')", "the larger budget")
    seen = place.master.search(place.checked)
    assert (seen.trials, seen.state in ("running", "completed")) == (before + 3, True)
    assert browser.evaluate("document.getElementById('extension').hidden") is True


def test_stop_asks_first_and_stops(place: Place, browser: Browser) -> None:
    search = place.master.submit({**SPEC, "name": "stopped", "budget": {"trials": 100_000}}).id
    browser.open(place.address(search))
    browser.until(is_shown("detail"), "the search")
    browser.evaluate("window.confirm = (question) => { window.asked = question; return true; }")
    browser.evaluate("document.querySelector('[data-verb=stop]').click()")
    browser.until("document.querySelector('#name .state').innerText === 'stopped'", "the end")
    assert browser.evaluate("window.asked").startswith("Stop this search?")
    assert place.master.search(search).state == "stopped"


def test_search_that_is_not_there(place: Place, browser: Browser) -> None:
    browser.open(place.address("nope"))
    browser.until("document.getElementById('alert').innerText.includes('nope')", "the master's own sentence")
    browser.complaints = [c for c in browser.complaints if "404" not in c]
