"""The pages of the user guide as one sequence of blocks, each with what a comment above it says of it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import yaml

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "guide"
_BLOCK = re.compile(r"(?:^<!-- (?P<note>[^\n]*) -->\n)?^```(?P<language>\w+)\n(?P<text>.*?)^```$", re.M | re.S)
NOT_RUN = ("not run: ", "waits for: ")
"""Notes of blocks that are not run here: they need another machine, or a part that is not there yet."""
ANY_END = "any exit code: "
OUTPUT = "output"
"""The note of a block whose lines the commands before it print."""


class GuideBlock(NamedTuple):
    """One fenced code block of a page."""

    page: str
    language: str
    text: str
    note: str

    @property
    def is_run(self) -> bool:
        return not self.note.startswith(NOT_RUN)

    @property
    def file(self) -> str:
        """The name of the file that a block of YAML or Python is to be written to."""
        return self.text.splitlines()[0].removeprefix("# ")

    @property
    def commands(self) -> list[str]:
        """Its lines without comments and empty lines."""
        lines = (line.split("  #")[0].rstrip() for line in self.text.splitlines())
        return [line for line in lines if line and not line.startswith("#")]


def pages() -> list[Path]:
    """List the pages of the guide in the order of reading: that of the site."""
    nav = yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]
    (names,) = (entry["Guide"] for entry in nav if "Guide" in entry)
    return [ROOT / "docs" / name for name in names]


def blocks() -> list[GuideBlock]:
    """List the code blocks of all pages."""
    return [
        GuideBlock(page.stem, found["language"], found["text"], found["note"] or "")
        for page in pages()
        for found in _BLOCK.finditer(page.read_text())
    ]


def mentioned() -> list[str]:
    """List the commands `foldstep …` that stand in the prose."""
    prose = "\n".join(re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.M | re.S) for page in pages())
    return [" ".join(found.split()) for found in re.findall(r"`(foldstep [^`]+)`", prose)]
