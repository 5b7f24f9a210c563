"""The pages of the API's documentation, in a real browser that must load nothing from elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.acceptance.processes import Processes
from tests.service.dashboard.browser import Browser


@pytest.mark.parametrize(("path", "shown"), [("/docs", ".opblock-summary"), ("/redoc", "[data-role='redoc'] li, li")])
def test_the_documentation_loads_from_the_master_alone(path: str, shown: str, tmp_path: Path, browser: Browser) -> None:
    with Processes(tmp_path) as processes:
        _, master = processes.master()
        browser.open(f"{master.url}{path}")
        browser.until(f'document.querySelectorAll("{shown}").length > 20', "the calls")
        assert "/api/v1/searches" in browser.text() or "Post Search" in browser.text()
        loaded = browser.evaluate("performance.getEntriesByType('resource').map(entry => entry.name)")
        assert [name for name in loaded if not name.startswith((master.url, "data:", "blob:"))] == []
        assert any(name.endswith(".js") for name in loaded)
