"""Make the pictures of the documentation: a real search, trained by a real worker, in a real browser.

Run `python -m docs.picture`; it takes about a minute and needs chromium.
"""

from __future__ import annotations

import subprocess
from contextlib import ExitStack, closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any

from foldstep.client import Foldstep
from foldstep.demo import DEMO_SPEC
from foldstep.service.contract.processes import python_command
from tests.service.dashboard.browser import Browser, is_shown

FOLDER = Path(__file__).parent / "images"
PICTURE = FOLDER / "page.png"
NAMES = ("page", "trial", "matters")
"""The whole page of a search; one trial of it; what matters among its hyperparameters."""
MOST_BYTES = 300_000
WIDTH, HEIGHT = 1340, 1500


def draw(spec: dict[str, Any]) -> dict[str, bytes]:
    """Run a search and take screenshots of its page, as PNG, by name."""
    with TemporaryDirectory() as folder, ExitStack() as ended:
        url = _start(ended, "serve", "--dir", folder, "--port", "0").readline().strip()
        token = (Path(folder) / "token").read_text().strip()
        _start(ended, "worker", "--dir", folder)
        with closing(Foldstep(url, token)) as master:
            search = master.wait(master.submit(spec).id)
            assert search.state == "completed", search
            trial, page = _spoken_of(master, search.id), master.page_link(search.id)
        browser = Browser(Path(folder) / "profile")
        ended.callback(browser.close)
        browser.open(page)
        browser.until(is_shown("detail"), "the search")
        return _shots(browser, trial)


def _spoken_of(master: Foldstep, search: str) -> int:
    """Choose the best trial whose diagnosis finds something; the best of all where there is none."""
    ranked = [row.trial for row in master.leaderboard(search).rows]
    found = (trial for trial in ranked if master.diagnostics(search, trial).diagnoses[0].kind != "healthy")
    return next(found, ranked[0])


def _shots(browser: Browser, trial: int) -> dict[str, bytes]:
    browser.evaluate("document.documentElement.style.overflow = 'hidden'")  # no scroll bar in the pictures
    page = browser.screenshot(WIDTH, HEIGHT)
    browser.evaluate(f"document.querySelector('[data-trial=\"{trial}\"]').click()")
    browser.until(f"{is_shown('trial')} && document.querySelector('#curves svg') !== null", "the trial")
    _hide(browser, "#layers")
    seen = browser.screenshot_of("trial")
    browser.evaluate("document.getElementById('matters').open = true")
    browser.until(is_shown("matters-found"), "what matters")
    _hide(browser, "#effects li:nth-child(n + 4), #interaction-part, #compare-part")
    return {"page": page, "trial": seen, "matters": browser.screenshot_of("matters")}


def _hide(browser: Browser, selector: str) -> None:
    """Leave out what would make a picture too tall to read."""
    browser.evaluate(f"document.querySelectorAll('{selector}').forEach((part) => {{ part.style.display = 'none' }})")


def _start(ended: ExitStack, *words: str) -> IO[str]:
    process = subprocess.Popen(python_command("foldstep", *words), stdout=subprocess.PIPE, text=True)
    ended.enter_context(process)
    ended.callback(process.terminate)
    assert process.stdout is not None
    return process.stdout


if __name__ == "__main__":
    for name, picture in draw({**DEMO_SPEC, "name": "digits"}).items():
        assert len(picture) <= MOST_BYTES, f"{name}: {len(picture)} bytes are more than {MOST_BYTES}"
        (FOLDER / f"{name}.png").write_bytes(picture)
