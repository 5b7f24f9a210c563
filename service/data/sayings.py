"""Write settings as they stand in a spec, for findings that say how to say otherwise."""

from __future__ import annotations

import json
import re

_PLAIN = re.compile(r"[A-Za-z_][\w.]*(?: [\w.]+)*")
_WORDS = frozenset({"yes", "no", "true", "false", "on", "off", "null", "nan"})


def quoted(word: str) -> str:
    """Write a word for a spec: in quotes where YAML would read it as something else."""
    is_plain = _PLAIN.fullmatch(word) is not None and word.isascii() and word.lower() not in _WORDS
    return word if is_plain else json.dumps(word, ensure_ascii=False)


def as_type(name: str, kind: str) -> str:
    """Write the setting that imposes a type on a column."""
    return f"data.types: {{{quoted(name)}: {kind}}}"


def ignoring(name: str) -> str:
    """Write the setting that leaves a column out."""
    return f"data.ignore: [{quoted(name)}]"
