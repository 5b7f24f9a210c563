"""The formats in which a model is written; light to import, for the command line's help names them."""

from __future__ import annotations

from enum import StrEnum


class Format(StrEnum):
    """What a model is written as."""

    FOLDSTEP = "foldstep"
    ONNX = "onnx"
    TORCH = "torch"
