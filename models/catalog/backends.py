"""The ways to take training steps, each with its own code for what the tables name."""

from __future__ import annotations

from typing import Literal, TypeAlias

Backend: TypeAlias = Literal["eager", "compiled", "fused"]
"""`models.eager` in PyTorch, `models.compiled` in C++, `models.fused` as a GPU kernel."""

EVERY_BACKEND: frozenset[Backend] = frozenset({"eager", "compiled", "fused"})
ONLY_EAGER: frozenset[Backend] = frozenset({"eager"})
