"""Make the README's picture: a screenshot of a real search, trained by a real worker, in a real browser.

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

PICTURE = Path(__file__).parent / "images" / "page.png"
MOST_BYTES = 300_000
WIDTH, HEIGHT = 1340, 1110


def draw(spec: dict[str, Any]) -> bytes:
    """Run a search and take a screenshot of its page, as PNG."""
    with TemporaryDirectory() as folder, ExitStack() as ended:
        url = _start(ended, "serve", "--dir", folder, "--port", "0").readline().strip()
        token = (Path(folder) / "token").read_text().strip()
        _start(ended, "worker", "--dir", folder)
        with closing(Foldstep(url, token)) as master:
            search = master.wait(master.submit(spec).id)
            assert search.state == "completed", search
        browser = Browser(Path(folder) / "profile")
        ended.callback(browser.close)
        browser.open(f"{url}/#token={token}&search={search.id}")
        browser.until(is_shown("detail"), "the search")
        browser.evaluate("document.documentElement.style.overflow = 'hidden'")  # no scroll bar in the picture
        return browser.screenshot(WIDTH, HEIGHT)


def _start(ended: ExitStack, *words: str) -> IO[str]:
    process = subprocess.Popen(python_command("foldstep", *words), stdout=subprocess.PIPE, text=True)
    ended.enter_context(process)
    ended.callback(process.terminate)
    assert process.stdout is not None
    return process.stdout


if __name__ == "__main__":
    picture = draw({**DEMO_SPEC, "name": "digits"})
    assert len(picture) <= MOST_BYTES, f"{len(picture)} bytes are more than {MOST_BYTES}"
    PICTURE.write_bytes(picture)
