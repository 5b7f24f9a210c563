"""The command line of Foldstep's child processes, and the last line of their standard error."""

from __future__ import annotations

import sys


def python_command(module: str, *words: str) -> list[str]:
    """Build the command line that runs a module of Foldstep in a child process.

    Args:
        module: its import name, as `foldstep.service.data`.
        words: its arguments.
    """
    # -P: modules in the working directory, which is the user's, must not be imported
    return [sys.executable, "-P", "-m", module, *words]


def last_words(errors: bytes) -> str:
    """Extract the last line of a process's standard error, which names the exception; empty without any output."""
    return errors.decode(errors="replace").strip().rpartition("\n")[2]
