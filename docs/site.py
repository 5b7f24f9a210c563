"""Hooks of MkDocs: the files beside docs/ that pages link to, the decisions in the navigation, drawings as tables.

Mermaid would be loaded from another server. The diagrams of states become tables; the drawings of imports are left
out, since lists below them say the same.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
BESIDE = "project"
"""The folder of the site for files that are not in docs/."""
PATTERNS = ("ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "benchmarks/NOTES.md", "benchmarks/results/*.*",
            "examples/*.yaml")  # fmt: skip
_LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#\s]+)")
_DRAWING = re.compile(r"^```mermaid\n(.*?)^```\n", re.MULTILINE | re.DOTALL)
_CHANGE = re.compile(r"^\s*(\w+) --> (\w+): (\w+)$", re.MULTILINE)


def on_config(config: MkDocsConfig) -> None:
    """Add every decision to the navigation, below their index."""
    (how,) = (section["How it works"] for section in config.nav or [] if "How it works" in section)
    (decisions,) = (entry["Decisions"] for entry in how if isinstance(entry, dict))
    decisions += [f"decisions/{path.name}" for path in sorted((DOCS / "decisions").glob("0*.md"))]


def on_files(files: Files, config: MkDocsConfig) -> None:
    """Add the files that are beside docs/."""
    from mkdocs.structure.files import File

    for pattern in PATTERNS:
        for path in sorted(ROOT.glob(pattern)):
            name = f"{BESIDE}/{path.relative_to(ROOT).as_posix()}"
            files.append(File.generated(config, name, abs_src_path=str(path)))


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001
    """Let links lead to the places of files in the site, and write drawings as tables."""
    name = page.file.src_uri
    return _DRAWING.sub(lambda found: as_table(found[1]), with_links(markdown, name))


def with_links(markdown: str, name: str) -> str:
    """Change the links of a page, written for the repository, to those of the site.

    Args:
        markdown: the page's text.
        name: the page's place in the site's sources.
    """
    source = ROOT / name.removeprefix(f"{BESIDE}/") if name.startswith(f"{BESIDE}/") else DOCS / name
    start = (DOCS / name).parent

    def moved(found: re.Match[str]) -> str:
        target = Path(os.path.normpath(source.parent / found[1]))
        if not target.is_relative_to(DOCS):
            target = DOCS / BESIDE / target.relative_to(ROOT)
        return f"]({os.path.relpath(target, start)}"

    return _LINK.sub(moved, markdown)


def as_table(drawing: str) -> str:
    """Write a diagram of states as a table; leave out a drawing of imports."""
    changes = _CHANGE.findall(drawing)
    if not changes:
        return ""
    rows = [f"| {event} | {source} | {target} |" for source, target, event in changes]
    return "\n".join(["| event | from | to |", "| --- | --- | --- |", *rows]) + "\n"
