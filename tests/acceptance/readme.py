"""The guide's executable parts: fenced blocks and inline commands of its pages, and a shell to run them in."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from tests.acceptance.processes import new_home

_ROOT = Path(__file__).parents[2]
PAGES = ("README.md", *(f"docs/{name}.md" for name in ("search", "early-stopping", "service", "workers", "results")))
"""The pages of the guide, in the order of reading."""
GUIDE = "\n".join((_ROOT / name).read_text() for name in PAGES)
_ASSIGNMENT = re.compile(r"^[A-Z]+=.*$", re.MULTILINE)


class Block(NamedTuple):
    """One fenced code block."""

    language: str
    text: str

    @property
    def commands(self) -> list[str]:
        """Its lines without comments and empty lines."""
        lines = (line.split("  #")[0].rstrip() for line in self.text.splitlines())
        return [line for line in lines if line and not line.startswith("#")]


BLOCKS = [Block(m[1], m[2]) for m in re.finditer(r"^```(\w+)\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)]


def inline_commands() -> list[str]:
    """List every inline command `foldstep …` and `docker …` of the prose; `pause|resume|stop` become three."""
    prose = re.sub(r"^```.*?^```$", "", GUIDE, flags=re.MULTILINE | re.DOTALL)
    found = [m[1].replace("\n", " ") for m in re.finditer(r"`((?:foldstep|docker) [^`]+)`", prose)]
    return [c for words in found for c in _alternatives(words)]


def _alternatives(command: str) -> list[str]:
    many = re.search(r"\w+(?:\|\w+)+", command)
    return [command.replace(many[0], one) for one in many[0].split("|")] if many else [command]


class Shell:
    """A bash session in one folder, as a reader of the guide uses it: variables are kept from block to block."""

    def __init__(self, folder: Path, substitutions: Mapping[str, str]) -> None:
        self.folder, self.substitutions = folder, substitutions
        self.environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "HOME": new_home(folder), "COLUMNS": "120", "OMP_NUM_THREADS": "1",
        }  # fmt: skip
        self._assignments: list[str] = []
        self._background: list[subprocess.Popen[str]] = []

    def substituted(self, text: str) -> str:
        for words, replacement in self.substitutions.items():
            text = text.replace(words, replacement)
        return text

    def run(self, script: str) -> str:
        """Run commands to their end and return their output; a failed command or HTTP request fails the test."""
        script = self.substituted(script)
        checked = 'set -euo pipefail\ncurl() { command curl --fail-with-body "$@"; }'
        whole = "\n".join([checked, *self._assignments, script])
        self._assignments += _ASSIGNMENT.findall(script)
        done = subprocess.run(
            ["bash", "-c", whole], cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=120,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{script}\nended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        return done.stdout

    def start(self, command: str) -> subprocess.Popen[str]:
        """Run a command in the background, as in a second terminal."""
        script = "\n".join([*self._assignments, f"exec {self.substituted(command)}"])
        log = (self.folder / f"background-{len(self._background)}.log").open("w")
        with log:
            process = subprocess.Popen(
                ["bash", "-c", script], cwd=self.folder, env=self.environment, stdout=log, stderr=log, text=True
            )
        self._background.append(process)
        return process

    def end(self) -> list[int]:
        """Terminate every background command, the last started first; return their exit codes in order of start."""
        for process in reversed(self._background):
            if process.poll() is None:
                process.terminate()
            process.wait(60)
        return [p.returncode for p in self._background]
