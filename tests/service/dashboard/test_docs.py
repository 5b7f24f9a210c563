"""The page of the API's documentation, in a real browser that must load nothing from elsewhere."""

from __future__ import annotations

from pathlib import Path

from tests.acceptance.processes import Processes
from tests.service.dashboard.browser import Browser, is_shown


def test_the_documentation_loads_from_the_master_alone(tmp_path: Path, browser: Browser) -> None:
    with Processes(tmp_path) as processes:
        _, master = processes.master()
        browser.open(f"{master.url}/docs")
        browser.until(is_shown("login"), "the question for a token, as there is no session")
        browser.open(master.page_link())
        browser.until(is_shown("searches"), "the page")
        browser.open(f"{master.url}/docs")
        browser.until("document.querySelectorAll('.opblock-summary').length > 20", "the calls")
        assert "/api/v1/searches" in browser.text()
        loaded = browser.evaluate("performance.getEntriesByType('resource').map(entry => entry.name)")
        assert [name for name in loaded if not name.startswith((master.url, "data:", "blob:"))] == []
        assert any(name.endswith(".js") for name in loaded)
