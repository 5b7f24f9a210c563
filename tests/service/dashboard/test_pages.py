"""The page loads nothing from elsewhere, reads no text as markup, and names only what there is."""

from __future__ import annotations

import asyncio
import re
from importlib import resources
from pathlib import Path

import pytest

from foldstep.service.contract.states import SearchState, TrialState
from foldstep.service.dashboard.pages import HEADERS, Pages, public_paths

STATIC = Path(str(resources.files("foldstep.service.dashboard"))) / "static"
HTML, STYLE, DOCS = ((STATIC / name).read_text() for name in ("index.html", "style.css", "docs.html"))
SCRIPTS = {path.name: path.read_text() for path in STATIC.glob("*.js")}
SCRIPT = "".join(SCRIPTS.values())


def test_files_that_the_page_names_are_there() -> None:
    named = re.findall(r'(?:src|href)="([\w.]+\.\w+)"', HTML)
    assert {"page.js", "style.css", "icon.svg"} == set(named)
    assert all((STATIC / name).is_file() for name in named)
    assert {"page.js", "docs.js", *re.findall(r'from "\./([\w.]+)"', SCRIPT)} == set(SCRIPTS), (
        "every file, and no other, is imported"
    )


def test_nothing_comes_from_elsewhere() -> None:
    namespace = "http://www.w3.org/2000/svg"  # a name, nothing is fetched from there
    for text in (HTML, DOCS, SCRIPT.replace(namespace, ""), STYLE):
        assert re.findall(r"(?:https?:)?//[a-z]+\.", text) == []


@pytest.mark.parametrize(
    "word", ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "localStorage"]
)
def test_text_is_never_read_as_markup(word: str) -> None:
    assert word not in SCRIPT


def test_script_uses_only_elements_that_the_page_has() -> None:
    ids = set(re.findall(r'id="([\w-]+)"', HTML))
    used = set(re.findall(r'\$\("([\w-]+)"\)', SCRIPT)) | set(re.findall(r'\bshow\("([\w-]+)"\)', SCRIPT))
    used |= {name for pair in re.findall(r'\b(?:list\(|ask\(\[)"([\w-]+)", "([\w-]+)"', SCRIPT) for name in pair}
    assert used
    assert used <= ids
    assert set(re.findall(r'for="([\w-]+)"', HTML)) <= ids


def test_states_in_script_and_style_are_those_of_the_contract() -> None:
    known = {s.value for s in (*SearchState, *TrialState)}
    assert set(re.findall(r"\.state\.(\w+)", STYLE)) <= known
    (can,) = re.findall(r"const can = (\{.*\});", SCRIPT)
    assert set(re.findall(r'"(\w+)"', can)) <= known


def test_page_comes_with_its_headers() -> None:
    scope = {"type": "http", "method": "GET", "headers": []}
    response = asyncio.run(Pages().get_response("index.html", scope))
    assert {name.lower(): value for name, value in HEADERS.items()}.items() <= dict(response.headers).items()


def test_no_page_has_a_script_or_a_style_in_itself() -> None:
    for text in (HTML, DOCS):
        assert re.findall(r"<script(?![^>]*src=)|<style| style=| on[a-z]+=", text) == []


def test_files_of_the_pages_are_public_and_no_others() -> None:
    assert {"/", "/docs", "/page.js", "/swagger-ui-bundle.js"} <= public_paths()
    assert all((STATIC / name[1:]).is_file() or name in SWAGGER for name in public_paths() - {"/", "/docs"})


SWAGGER = {"/favicon.png", "/swagger-ui-bundle.js", "/swagger-ui.css"}
