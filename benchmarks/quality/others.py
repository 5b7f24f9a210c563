"""Run the other sides: `rivals.py`, in the Python of their own environment."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.quality.cases import Case, Split

SCRIPT = Path(__file__).with_name("rivals.py")
NAMES = ("realmlp", "mlp", "boosting", "catboost", "mlp_search", "optuna", "realmlp_search")
TIMES: Mapping[str, float] = {"mlp_search": 1, "optuna": 1, "realmlp_search": 10}
"""Sides that search for a time, and how many times that of Foldstep's search it is."""
THREADS = 2
_WAITING = {"OMP_WAIT_POLICY": "passive", "KMP_BLOCKTIME": "0"}
"""Threads that wait for each other sleep: where other work shares the cores, spinning made RealMLP ten times slower."""


@dataclass(frozen=True)
class Others:
    """The other sides, in one environment.

    Attributes:
        python: its interpreter.
    """

    python: str

    def check(self, sides: Sequence[str]) -> None:
        """Refuse sides whose packages the environment lacks, before anything is trained.

        Raises:
            SystemExit: with the way out.
        """
        try:
            missing = json.loads(self._call("missing"))
        except (OSError, subprocess.CalledProcessError) as error:
            raise SystemExit(f"The Python of the other sides, {self.python}, does not run: {error}.") from None
        if lacking := [side for side in sides if side in missing]:
            raise SystemExit(
                f"{self.python} has no packages for: {', '.join(lacking)}. benchmarks/quality/README.md says how to "
                "make an environment for --python; or leave them out with --sides."
            )

    def run(self, side: str, case: Case, parts: Split, folder: Path, seconds: float | None = None) -> dict[str, Any]:
        """Train a side on the training part, one that searches for a time; return predictions, seconds and versions."""
        parts.write(folder)
        (folder / "problem.json").write_text(json.dumps({"task": case.file.task, "target": case.file.target}))
        words = (str(folder), str(case.split), str(THREADS), str(seconds or 0))
        answer: dict[str, Any] = json.loads(self._call(side, *words))
        return answer

    def _call(self, *arguments: str) -> str:
        threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(THREADS))
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | threads | _WAITING
        argv = [self.python, str(SCRIPT), *arguments]
        return subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=True, env=environment).stdout


def limit_of(side: str, seconds: float) -> float | None:
    """Find the time of a side where Foldstep's search has `seconds`; None for one that takes its own."""
    if side not in NAMES:
        return seconds
    return TIMES[side] * seconds if side in TIMES else None
