"""The browser of the page's tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.service.dashboard.browser import Browser


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    """One page; at the end it must have had nothing to complain of."""
    opened = Browser(tmp_path / "profile")
    yield opened
    complaints = [c for c in opened.complaints if "401" not in c]
    opened.close()
    assert complaints == []
