"""The tasks: the kinds of target that a network predicts."""

from __future__ import annotations

from typing import Literal, TypeAlias

Task: TypeAlias = Literal["classification", "regression"]
