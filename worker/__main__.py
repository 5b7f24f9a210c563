"""One worker process: `python -m foldstep.worker --url … `, with the token in FOLDSTEP_TOKEN."""

from __future__ import annotations

import gc
import sys


def main() -> int:
    """Import everything without looking for garbage in it, a sixth of the time that a worker takes to start; then work.

    What is imported stays, so no later search for garbage has to look at it either.
    """
    gc.disable()
    from foldstep.worker.process import run

    gc.freeze()
    gc.enable()
    return run()


if __name__ == "__main__":
    sys.exit(main())
