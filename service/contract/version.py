"""The version of this distribution, which master and workers compare."""

from __future__ import annotations

from importlib.metadata import version

__version__ = version("foldstep")
