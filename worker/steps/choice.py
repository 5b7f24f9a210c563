"""Reads which backend a process is to use from the environment variable `FOLDSTEP_BACKEND`."""

from __future__ import annotations

import os
from typing import Literal, TypeAlias, get_args

from foldstep.service.contract.errors import Fault, InvalidInput

VARIABLE = "FOLDSTEP_BACKEND"
Choice: TypeAlias = Literal["auto", "eager", "fused"]
"""`auto`: the compiled library on CPUs, captured steps on GPUs. `eager`: PyTorch's operations, called one by one.
`fused`: as `auto`, and on GPUs the kernel for the members that it covers."""
CHOICES: tuple[Choice, ...] = get_args(Choice)


def chosen() -> Choice:
    """Read which backend this process is to use.

    Raises:
        InvalidInput: the variable holds another word.
    """
    value = os.environ.get(VARIABLE, "auto")
    for choice in CHOICES:
        if value == choice:
            return choice
    expected = "one of " + ", ".join(CHOICES)
    fault = Fault(code="out_of_domain", path=VARIABLE, expected=expected, got=repr(value))
    raise InvalidInput(f"The environment variable {fault}.", faults=[fault])
