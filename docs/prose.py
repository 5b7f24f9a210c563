"""Wrap the prose of the Markdown files at `WIDTH` characters.

Tables, code blocks, headings and lines of links are left as they are. Run `python -m docs.prose` after writing.
"""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

ROOT = Path(__file__).parents[1]
WIDTH = 120
_FENCE = re.compile(r"^\s*```")
_ITEM = re.compile(r"^(\s*)([-•*]|\d+\.)\s+")
_ALONE = re.compile(r"^\s*(\||#|<|!\[|\[!\[|$| {4})")
"""Lines that are no part of a paragraph: tables, headings, comments, pictures, empty lines, indented blocks."""
_SPAN = re.compile(r"`[^`]{1,60}`")
"""Inline code, which is not broken over lines."""
_STARTS = re.compile(r" (?=(?:[-•*+|#>]|\d+\.)(?: |$))")
"""A space before characters that would begin a list, a table or a heading at the start of a line."""
_JOIN = "\N{WORD JOINER}"
PROSE = sorted(
    path
    for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "benchmarks").glob("*.md")]
    if path.name != "imports.md"  # written by docs.drawing
)


def wrapped(text: str) -> str:
    """Wrap each paragraph and each item of a list."""
    done: list[str] = []
    paragraph: list[str] = []
    in_code = False
    for line in [*text.splitlines(), ""]:
        fence = bool(_FENCE.match(line))
        alone = in_code or fence or (bool(_ALONE.match(line)) and not (paragraph and line.startswith("    ")))
        if alone or _ITEM.match(line):
            done += _wrap(paragraph)
            paragraph = []
        if alone:
            done.append(line)
        else:
            paragraph.append(line)
        in_code ^= fence
    return "\n".join(done).rstrip("\n") + "\n"


def _wrap(paragraph: list[str]) -> list[str]:
    if not paragraph:
        return []
    item = _ITEM.match(paragraph[0])
    first = item[0] if item else ""
    words = " ".join(line.strip() for line in [paragraph[0][len(first) :], *paragraph[1:]])
    kept = _STARTS.sub(_JOIN, _SPAN.sub(lambda span: span[0].replace(" ", _JOIN), words))
    lines = textwrap.wrap(
        kept, WIDTH, initial_indent=first, subsequent_indent=" " * len(first),
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip
    return [line.replace(_JOIN, " ") for line in lines]


def too_wide(text: str) -> list[str]:
    """List the lines of prose that `wrapped` would change."""
    now, then = text.splitlines(), set(wrapped(text).splitlines())
    return [line for line in now if line not in then]


if __name__ == "__main__":
    for path in PROSE:
        path.write_text(wrapped(path.read_text()))
