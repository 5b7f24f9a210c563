"""The types of a spec's fields: what text stands for a number, a boolean or a duration, and their bounds."""

from __future__ import annotations

import re
from typing import Annotated, Any, TypeAlias

from pydantic import BeforeValidator, ConfigDict, Field, WithJsonSchema

from foldstep.models.catalog.metrics import METRICS
from foldstep.service.contract.names import OneOf
from foldstep.service.contract.space import Frozen

MAX_DURATION_S = 3e9
"""The longest time, about a hundred years: the end of a longer one may be after the last date that there is."""
_DURATION = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)\s*")
_LONGEST_NUMBER = 300
"""Characters of a number in text; a longer one fits no floating-point number."""
_BOOLEANS = {"yes": True, "no": False, "on": True, "off": False, "true": True, "false": False}
_UNIT_S = {"ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def number_from_text(value: Any) -> Any:
    """Convert text such as `1e-4`, which YAML reads as text, to a number; return anything else unchanged."""
    if not isinstance(value, str) or len(value) > _LONGEST_NUMBER:
        return value
    try:
        return int(value) if re.fullmatch(r"\s*[+-]?\d[\d_]*\s*", value) else float(value)
    except ValueError:
        return value


def boolean_from_text(value: Any) -> Any:
    """Convert `yes`, `no`, `on`, `off`, `true` and `false`, which are text in YAML 1.2, to a boolean; keep the rest."""
    return _BOOLEANS.get(value.strip().lower(), value) if isinstance(value, str) else value


def seconds_from_text(value: Any) -> Any:
    """Convert a duration such as `90s`, `10m`, `2h`, `1d` or a number of seconds to seconds; keep anything else."""
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    return float(match[1]) * _UNIT_S[match[2]] if match else number_from_text(value)


MetricName: TypeAlias = Annotated[str, OneOf(METRICS)]
Bool: TypeAlias = Annotated[bool, BeforeValidator(boolean_from_text)]
Int: TypeAlias = Annotated[int, BeforeValidator(number_from_text)]
Float: TypeAlias = Annotated[float, BeforeValidator(number_from_text), Field(allow_inf_nan=False)]
Share: TypeAlias = Annotated[Float, Field(gt=0, lt=1)]
Cost: TypeAlias = Annotated[Float, Field(gt=0, le=1e12)]
Duration: TypeAlias = Annotated[
    float,
    BeforeValidator(seconds_from_text),
    Field(gt=0, le=MAX_DURATION_S, allow_inf_nan=False, description="seconds, or 90s, 10m, 2h"),
    WithJsonSchema(
        {
            "description": "seconds, or 90s, 10m, 2h",
            "anyOf": [
                {"type": "number", "exclusiveMinimum": 0, "maximum": MAX_DURATION_S},
                {"type": "string", "pattern": "^[1-9][0-9]{0,3}(ms|s|m|h|d)$"},
            ],
        }
    ),
]


class Strict(Frozen):
    """Base of the spec's records, without silent conversions of types."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
