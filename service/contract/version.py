"""The version of this distribution, which master, workers and clients compare."""

from __future__ import annotations

from importlib.metadata import version

__version__ = version("foldstep")
VERSION_HEADER = "X-Foldstep-Version"
"""The header in which every answer of a master has its version."""


def fits(other: str) -> bool:
    """Tell whether the two sides of a connection understand each other: their major and minor versions are the same."""
    return other.split(".")[:2] == __version__.split(".")[:2]
