"""The batches of a stage: all trials of a batch are proposed from exactly the trials of the batches before it."""

from __future__ import annotations

import math

BATCHES = 50  # in a search: fewer batches update the model too rarely, more make workers wait too often
SMALLEST, LARGEST = 4, 256
OPEN_ENDED = 8  # trials in a batch of a search without a limit of trials
MIN_STARTUP = 8  # least number of random trials; at least two batches, too


def default_batch(trials: int | None) -> int:
    """Choose how many trials are proposed at once in a stage of `trials` trials; None for no limit."""
    if trials is None:
        return OPEN_ENDED
    return min(max(math.ceil(trials / BATCHES), SMALLEST), LARGEST)


def n_startup(batch: int) -> int:
    """Compute the number of trials that are drawn at random before the first model is fitted: whole batches."""
    return batch * math.ceil(max(MIN_STARTUP, 2 * batch) / batch)


def batch_start(index: int, batch: int) -> int:
    """Compute the index of the first trial of the batch that contains `index`; the random startup is one batch."""
    return 0 if index < n_startup(batch) else index // batch * batch


def batch_end(index: int, batch: int) -> int:
    """Compute the index after the last trial of the batch that contains `index`."""
    return max(n_startup(batch), (index // batch + 1) * batch)
