"""Read the choice of backend from the environment variable `FOLDSTEP_BACKEND`."""

from __future__ import annotations

import os
from typing import Literal, TypeAlias, get_args

from foldstep.service.contract.errors import Fault, InvalidInput

VARIABLE = "FOLDSTEP_BACKEND"
Choice: TypeAlias = Literal["auto", "eager", "fused"]
"""`auto`: the compiled backend on CPUs, the eager backend with captured steps on GPUs. `eager`: the eager backend,
whose operations are called one by one. `fused`: as `auto`, but on GPUs the fused backend for members that it covers."""
CHOICES: tuple[Choice, ...] = get_args(Choice)


def chosen() -> Choice:
    """Read the choice of backend for this process; `auto` if the variable is not set.

    Raises:
        InvalidInput: the variable has another value than those of `CHOICES`.
    """
    value = os.environ.get(VARIABLE, "auto")
    for choice in CHOICES:
        if value == choice:
            return choice
    expected = "one of " + ", ".join(CHOICES)
    fault = Fault(code="out_of_domain", path=VARIABLE, expected=expected, got=repr(value))
    raise InvalidInput(f"The environment variable {fault}.", faults=[fault])
