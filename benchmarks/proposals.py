"""The cost of a proposal: the time of one batch, divided by its trials, after 100, 1,000 and 10,000 trials.

The batch is proposed from a history of random trials of an eight-parameter space, in this process, with one thread, as
in the planner's process; the request is written and read as JSON, as between the processes. Batches have the default
size of a search of that many trials.
"""

from __future__ import annotations

import math
import os
import time
from typing import Any

from benchmarks.report import arguments, median_and_spread, publish
from foldstep.models.catalog.metrics import Direction
from foldstep.service.contract.methods import Method, learning_methods
from foldstep.service.contract.space import Choices, FloatRange, IntRange, Params, Space
from foldstep.service.contract.states import TrialState
from foldstep.service.contract.trial import TrialRecord
from foldstep.service.planner.batches import default_batch
from foldstep.service.planner.propose import propose
from foldstep.service.planner.random import random_params
from foldstep.service.planner.request import BatchRequest

GOAL_MS = 5.0
SPACE = Space(
    parameters={
        "lr": FloatRange(low=1e-6, high=10.0, log=True),
        "dropout": FloatRange(low=0.0, high=0.8),
        "width": IntRange(low=16, high=256, log=True),
        "depth": IntRange(low=1, high=4),
        "optimizer": Choices(choices=["sgd", "adam", "adamw"]),
        "momentum": FloatRange(low=0.5, high=0.99, when={"optimizer": ["sgd"]}),
        "weight_decay": FloatRange(low=1e-6, high=0.1, log=True),
        "activation": Choices(choices=["relu", "tanh", "gelu"]),
    }
)


def main() -> None:
    """Measure and publish."""
    options = arguments(__doc__ or "")
    sizes = (100, 1000) if options.quick else (100, 1000, 10_000)
    rows = [_row(method, n, 1 if options.quick else 3) for method in learning_methods() for n in sizes]
    publish(
        "proposals", options, rows, unit="ms a proposal, median, least and greatest", goal=f"{GOAL_MS:g} ms at 10,000",
        load_before=os.getloadavg()[0],
    )  # fmt: skip


def _row(method: Method, n_trials: int, n_runs: int) -> dict[str, Any]:
    request = _request(method, n_trials)
    propose(request)  # warm up: imports are not counted
    runs = [_time_ms(request) / request.size for _ in range(n_runs)]
    median, least, greatest = median_and_spread(runs)
    return {"method": method, "history": n_trials, "batch": request.size, "ms": median, "least": least,
            "greatest": greatest}  # fmt: skip


def _time_ms(request: BatchRequest) -> float:
    begun = time.perf_counter()
    propose(BatchRequest.model_validate_json(request.model_dump_json()))
    return 1e3 * (time.perf_counter() - begun)


def _request(method: Method, n_trials: int) -> BatchRequest:
    size = default_batch(n_trials)
    number = n_trials // size
    return BatchRequest(
        method=method,
        space=SPACE,
        number=number,
        size=size,
        seed=0,
        direction=Direction.MINIMIZE,
        first_trial=0,
        history=[_record(index) for index in range(number * size)],
    )


def _record(number: int) -> TrialRecord:
    params = random_params(SPACE, 0, number)
    return TrialRecord(number=number, stage=0, state=TrialState.COMPLETED, params=params, score=_loss(params))


def _loss(params: Params) -> float:
    return (math.log10(float(str(params["lr"]))) + 2) ** 2 + float(str(params["dropout"]))


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
