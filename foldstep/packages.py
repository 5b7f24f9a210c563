"""Packages that only some uses need, and the extra of the installation that has each."""

from __future__ import annotations

from importlib.util import find_spec

from foldstep.service.contract.errors import Fault, InvalidInput


def require_package(package: str, extra: str, use: str) -> None:
    """Refuse a use for which a package is missing.

    Args:
        package: its import name.
        extra: the extra of the installation that has it.
        use: what it is for, as the beginning of a sentence.

    Raises:
        InvalidInput: it is missing.
    """
    if find_spec(package) is None:
        fault = Fault(code="missing_package", path="", expected=f"the package {package}", got="none")
        raise InvalidInput(f"{use} needs the package {package}: pip install 'foldstep[{extra}]'.", faults=[fault])
