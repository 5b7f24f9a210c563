"""The tasks: the kinds of target that a network predicts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

Task: TypeAlias = Literal["classification", "regression", "multilabel"]
"""One class of each row; one number or several of each row; or several labels, each of which a row has or has not."""
Least: TypeAlias = Literal["any", "zero", "above_zero"]
"""The least target that a loss or a metric allows: any number, 0, or every number above 0."""
LEAST_IN_WORDS: Mapping[Least, str] = {"any": "any number", "zero": "at least 0", "above_zero": "above 0"}


def is_too_low(lowest: float, least: Least) -> bool:
    """Tell whether a column whose lowest value is given holds targets that are not allowed."""
    return lowest < 0 if least == "zero" else lowest <= 0 if least == "above_zero" else False
