"""The child process behind `service.planner.child`: a request a line on standard input, an answer a line on output."""

from __future__ import annotations

import json
import select
import sys

from foldstep.service.child import answers, limit_memory_and_time
from foldstep.service.contract.processes import end_with_parent
from foldstep.service.planner.propose import model_of, propose
from foldstep.service.planner.request import BatchRequest


def main(idle_s: float) -> None:
    """Answer requests until the input ends, as it does with the master, or none arrives for `idle_s` seconds."""
    end_with_parent()
    output = answers()
    while select.select([sys.stdin], [], [], idle_s)[0] and (line := sys.stdin.buffer.readline()):
        request = BatchRequest.model_validate_json(line)
        model_of(request.method)  # its libraries are no part of what is limited
        limit_memory_and_time()
        proposals = propose(request)
        output.write(json.dumps(proposals) + "\n")
        output.flush()


if __name__ == "__main__":
    main(float(sys.argv[1]))
