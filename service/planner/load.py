"""Import the planner or model that the table of methods names."""

from __future__ import annotations

import importlib
from typing import Any


class NotImplementedMethod(LookupError):
    """The table of methods names code that does not exist."""


def load(named: str) -> Any:
    """Import an attribute of a module of this package, given as `module:attribute`.

    Raises:
        NotImplementedMethod: there is no such module, or it has no such attribute.
    """
    module, _, attribute = named.partition(":")
    full = f"foldstep.service.planner.{module}"
    try:
        found = importlib.import_module(full)
    except ModuleNotFoundError as error:
        if error.name != full:
            raise  # something that the module itself imports
        raise NotImplementedMethod(
            f"{named}: write service/planner/{module}.py, or mend the table of methods"
        ) from None
    if not hasattr(found, attribute):
        raise NotImplementedMethod(f"{named}: service/planner/{module}.py has no {attribute}")
    return getattr(found, attribute)
