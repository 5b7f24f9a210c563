"""The backends: the implementations of the training step. Each has its own code for the names in the tables."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

Backend: TypeAlias = Literal["eager", "compiled", "fused"]
"""`models.eager` in PyTorch, captured if the device can; `models.compiled` in C++; `models.fused` as a GPU kernel."""

EVERY_BACKEND: frozenset[Backend] = frozenset(get_args(Backend))
ONLY_EAGER: frozenset[Backend] = frozenset({"eager"})
NOT_FUSED: frozenset[Backend] = frozenset({"eager", "compiled"})
