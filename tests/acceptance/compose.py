"""Reads docker-compose.yml as Docker Compose does, as far as the file needs it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
_VARIABLE = re.compile(r"\$\{(?P<name>\w+)(?::(?P<kind>[?-])(?P<rest>[^}]*))?\}")


class MissingVariable(Exception):
    """A variable that the file demands is not set; the message is the file's own."""


def compose(environment: Mapping[str, str]) -> dict[str, Any]:
    """The file with its variables filled in.

    Raises:
        MissingVariable: as `docker compose` refuses to start then.
    """
    found: dict[str, Any] = _filled(yaml.safe_load((ROOT / "docker-compose.yml").read_text()), environment)
    return found


def _filled(value: Any, environment: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {k: _filled(v, environment) for k, v in value.items()}
    if isinstance(value, list):
        return [_filled(v, environment) for v in value]
    return _VARIABLE.sub(lambda m: _value(m, environment), value) if isinstance(value, str) else value


def _value(match: re.Match[str], environment: Mapping[str, str]) -> str:
    found = environment.get(match["name"])
    if found:
        return found
    if match["kind"] == "?":
        raise MissingVariable(match["rest"])
    return match["rest"] or ""
