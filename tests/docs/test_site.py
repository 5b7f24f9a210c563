"""The site of the documentation: built strictly, every page in its navigation, nothing from other servers."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from docs.make import FOLDER
from docs.site import as_table, with_links
from foldstep.service.contract.states import SEARCH_TRANSITIONS, diagram

ROOT = FOLDER.parent
LOADED = re.compile(r"<(?:script|img|iframe|link)\b[^>]*?\b(?:src|href)=[\"']?(https?:)?//")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_every_page_is_in_the_navigation(site: Path) -> None:
    home = (site / "index.html").read_text()
    missing = []
    for path in FOLDER.rglob("*.md"):
        name = path.relative_to(FOLDER).as_posix().replace("README.md", "index.md").replace(".md", ".html")
        assert (site / name).is_file(), name
        missing += [name] if f'href="{name}"' not in home and name != "index.html" else []
    assert missing == []


def test_nothing_is_loaded_from_other_servers(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 50
    assert [page.name for page in pages if LOADED.search(page.read_text())] == []
    assert [page.name for page in pages if 'class="mermaid"' in page.read_text()] == [], "its script is elsewhere"
    styles = list(site.rglob("*.css"))
    assert [css.name for css in styles if re.search(r"url\([\"']?(https?:)?//", css.read_text())] == []


def test_what_is_loaded_from_elsewhere_is_found() -> None:
    assert LOADED.search('<script src="https://unpkg.com/x.js">')
    assert LOADED.search("<link rel=stylesheet href=//fonts.example/a.css>")
    assert not LOADED.search('<a href="https://example.org">')


def test_links_lead_to_the_places_of_the_site() -> None:
    assert with_links("[a](../benchmarks/results/x.json#b)", "search.md") == "[a](project/benchmarks/results/x.json#b)"
    assert with_links("[a](docs/states.md)", "project/ARCHITECTURE.md") == "[a](../states.md)"
    assert with_links("[a](https://example.org)", "search.md") == "[a](https://example.org)"


def test_states_are_a_table_with_every_change() -> None:
    table = as_table(diagram(SEARCH_TRANSITIONS))
    assert "| pause | running | paused |" in table
    assert table.count("\n") == 2 + diagram(SEARCH_TRANSITIONS).count("-->")
