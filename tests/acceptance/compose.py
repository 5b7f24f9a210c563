"""Read docker-compose.yml as Docker Compose does, with the features that the file uses."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
_VARIABLE = re.compile(r"\$\{(?P<name>\w+)(?::(?P<kind>[?-])(?P<rest>[^}]*))?\}")


class MissingVariable(Exception):
    """A required variable is not set; the message is the one given in the file."""


def compose(environment: Mapping[str, str]) -> dict[str, Any]:
    """Read the file with its variables replaced by their values.

    Raises:
        MissingVariable: a required variable is not set; `docker compose` refuses to start then.
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
