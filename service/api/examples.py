"""Example documents that the OpenAPI page shows."""

from __future__ import annotations

from typing import Any

SPEC: dict[str, Any] = {
    "name": "digits",
    "method": "coarse_to_fine",
    "data": {"dataset": "digits"},
    "cv": {"folds": 5},
    "parameters": {
        "lr": {"low": 1e-4, "high": 1e-1, "log": True},
        "hidden": {"choices": [[64], [128, 64]]},
        "optimizer": ["adam", "sgd"],
    },
    "budget": {"trials": 60},
}

SPEC_YAML = """\
name: digits
method: coarse_to_fine
data: {dataset: digits}
cv: {folds: 5}
parameters:
  lr: {low: 1.0e-4, high: 1.0e-1, log: true}
  hidden: {choices: [[64], [128, 64]]}
  optimizer: [adam, sgd]
budget: {trials: 60}
"""

SPEC_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": {"type": "object"}, "example": SPEC},
            "application/yaml": {"schema": {"type": "string"}, "example": SPEC_YAML},
        },
    }
}
"""A spec is read from the raw body, as JSON or YAML, so its documentation is written here."""

FILE_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}

ARCHIVE_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/x-tar": {"schema": {"type": "string", "format": "binary"}}},
    }
}

ROWS: dict[str, Any] = {"rows": [{"sepal length (cm)": 5.1, "petal width (cm)": 0.2}]}
_CELL = {"type": ["number", "string", "boolean", "null"]}
ROWS_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["rows"],
                    "properties": {
                        "rows": {"type": "array", "items": {"type": "object", "additionalProperties": _CELL}}
                    },
                },
                "example": ROWS,
            },
            "text/csv": {"schema": {"type": "string"}, "example": "sepal length (cm),petal width (cm)\n5.1,0.2\n"},
            "application/vnd.apache.parquet": {"schema": {"type": "string", "format": "binary"}},
        },
    }
}
"""Rows are read by the child process that predicts them."""
