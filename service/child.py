"""Child processes of the master, for work that needs much memory or may crash.

A child is a package's `__main__`, as `python -m foldstep.service.data`. For one request (`ask`) a child
reads it as JSON from standard input, answers with a result or with a problem document (`answer_once`), and ends.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import IO, Any

from pydantic import BaseModel

from foldstep.service.contract.errors import FoldstepError, error_from_problem
from foldstep.service.contract.processes import end_with_parent, last_words, python_command, with_lifeline

_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
"""More threads would take the cores from workers on the same machine, and rounding depends on their number."""


class ChildDied(Exception):
    """The child ended without an answer; the message is its last line on standard error, or its exit code."""


class ChildTooSlow(Exception):
    """The child took longer than it may."""


def environment() -> dict[str, str]:
    """Build the environment of a child: the master's own, with one thread for each numerical library."""
    return {**os.environ, **_ONE_THREAD}


def ask(package: str, request: dict[str, Any], timeout_s: float) -> Any:
    """Send one request to a package's child, and return the result as JSON values.

    Raises:
        FoldstepError: the typed error that the child refused with.
        ChildDied: it ended without an answer.
        ChildTooSlow: it had none after `timeout_s` seconds.
    """
    sent = json.dumps(request).encode()
    try:
        child = subprocess.run(
            python_command(package),
            input=sent,
            capture_output=True,
            timeout=timeout_s,
            check=False,
            **with_lifeline(environment(), is_held_by_thread=True),
        )
    except subprocess.TimeoutExpired:
        raise ChildTooSlow from None
    if child.returncode != 0:
        raise ChildDied(last_words(child.stderr) or f"exit code {child.returncode}")
    answer = json.loads(child.stdout)
    if "problem" in answer:
        raise error_from_problem(answer["problem"])
    return answer["result"]


def answer_once(perform: Callable[[dict[str, Any]], BaseModel]) -> None:
    """Answer one request of `ask`, in the child: from standard input to standard output."""
    end_with_parent()
    with answers() as output:
        json.dump(_answer(perform, json.load(sys.stdin)), output)


def answers() -> IO[str]:
    """Open standard output for the answers alone; what a library prints goes to standard error from here on."""
    output = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return output


def _answer(perform: Callable[[dict[str, Any]], BaseModel], request: dict[str, Any]) -> dict[str, Any]:
    try:
        return {"result": perform(request).model_dump(mode="json")}
    except FoldstepError as error:
        return {"problem": error.problem()}
