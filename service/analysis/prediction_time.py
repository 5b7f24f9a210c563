"""Measure how large networks are, and how long their predictions take."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from foldstep.models.catalog.parts import PARTS
from foldstep.models.checkpoint import CheckpointDamaged, read_arrays, read_facts, reading_facts
from foldstep.models.fnn import forward
from foldstep.models.hyperparameters import resolve
from foldstep.models.input_stage import InputStage
from foldstep.models.weights import Weights, weights_of
from foldstep.service.contract.ensemble import ROWS_TIMED, Cost
from foldstep.service.contract.out_of_fold import without_predictions

_REPEATS = 3
"""Passes of each network; the fastest counts, as others are held up by what else the machine does."""


def cost_of(checkpoints: Sequence[Path]) -> Cost | None:
    """Measure some networks together on random rows, on one core; None where a file is gone or damaged."""
    try:
        with reading_facts():
            each = [_cost(path) for path in checkpoints]
    except CheckpointDamaged:
        return None
    return Cost(
        networks=len(each), parameters=sum(n for n, _ in each), milliseconds=1000 * sum(seconds for _, seconds in each)
    )


def cost_sentence(cost: Cost, winner: Cost) -> str:
    """Tell what predictions cost, beside those of the best trial alone."""
    networks = "1 network" if cost.networks == 1 else f"{cost.networks} networks"
    times = cost.parameters / winner.parameters
    return (
        f"{networks}, {cost.parameters:,} weights together, {times:.2g} times those of the best trial: about "
        f"{cost.milliseconds:.2g} ms for {ROWS_TIMED:,} rows on one core, the best trial "
        f"{winner.milliseconds:.2g} ms (measured on the master: the networks alone, without the reading of a table)."
    )


def _cost(path: Path) -> tuple[int, float]:
    """Count the trained parameters of a network, and measure the seconds of a pass."""
    facts = read_facts(str(path))
    hp = resolve(facts["params"], seed=facts["seed"])
    weights = weights_of("", without_predictions(read_arrays(str(path), "")))
    stage = None if facts.get("input_stage") is None else InputStage.from_json(facts["input_stage"])
    rows = _rows(weights, stage)
    seconds = []
    for _ in range(_REPEATS):
        begun = time.perf_counter()
        forward(hp, weights, rows, stage)
        seconds.append(time.perf_counter() - begun)
    n = sum(array.size for layer in weights for part, array in layer.items() if PARTS[part].is_trained)
    return n, min(seconds)


def _rows(weights: Weights, stage: InputStage | None) -> npt.NDArray[np.float32]:
    """Draw rows that a network can read; the first code stands for all codes of categories."""
    n_inputs = weights[0]["weight"].shape[1] if stage is None else stage.n_inputs
    rows = np.random.default_rng(0).normal(size=(ROWS_TIMED, n_inputs)).astype(np.float32)
    if stage is not None:
        rows[:, [at for at, _, _ in stage.codes]] = 0
    return rows
