"""The child process behind `service.planner.child`: a request a line on standard input, an answer a line on output."""

from __future__ import annotations

import json
import select
import sys

from foldstep.service.child import answers
from foldstep.service.contract.processes import end_with_parent
from foldstep.service.planner.propose import propose
from foldstep.service.planner.request import BatchRequest


def main(idle_s: float) -> None:
    """Answer requests until the input ends, as it does with the master, or none arrives for `idle_s` seconds."""
    end_with_parent()
    output = answers()
    while select.select([sys.stdin], [], [], idle_s)[0] and (line := sys.stdin.buffer.readline()):
        proposals = propose(BatchRequest.model_validate_json(line))
        output.write(json.dumps(proposals) + "\n")
        output.flush()


if __name__ == "__main__":
    main(float(sys.argv[1]))
