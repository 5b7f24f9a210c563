"""Train one trial again, alone in this process, to compare its result with the stored one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import torch

from foldstep.models.weights import Weights
from foldstep.service.contract.lease import Work
from foldstep.service.contract.report import TrialResult
from foldstep.worker.assignment import TrialWork
from foldstep.worker.client import MasterClient
from foldstep.worker.data.inputs import FoldSource
from foldstep.worker.data.load import read_table
from foldstep.worker.settings import PACK_BYTES_CPU
from foldstep.worker.steps.engine import Engine
from foldstep.worker.train.loop import Training
from foldstep.worker.train.member import Member
from foldstep.worker.train.oversight import Unwatched
from foldstep.worker.train.probe import Probe


def rerun(client: MasterClient, work: Work, cache_dir: Path, probing: Callable[..., Probe] = Probe) -> TrialResult:
    """Fetch the search's data, train the trial from its first epoch on one CPU thread, and return its result.

    Args:
        client: the master that has the data.
        work: what the master has of the trial and its search.
        cache_dir: where data files are kept.
        probing: makes the probes that observe the training; they do not change its result.

    Raises:
        NotFound: the master no longer has the data.
        DatasetUnreadable: the data file is damaged.
    """
    torch.set_num_threads(1)  # as a worker does: the bits depend on it
    problem = work.problem
    path = client.fetch_dataset(problem.fingerprint, cache_dir)
    source = FoldSource(read_table(path, problem.fingerprint), problem)
    again = TrialWork(work.trial, source.n_folds, problem.seed, problem.metric.direction, saved=None)
    training = Training(source, problem.metric.name, Engine(torch.device("cpu"), PACK_BYTES_CPU), probing)
    training.train(again.members, Keeper({work.trial.number: again}))
    return again.finished(problem.fingerprint).result


class Keeper(Unwatched):
    """A training monitor that only keeps the best weights of trials, by their numbers."""

    def __init__(self, works: Mapping[int, TrialWork]) -> None:
        self._works = works

    def member_done(self, member: Member, weights: Weights | None) -> None:
        """Keep the weights of a fold."""
        self._works[member.trial].weights[member.fold] = weights
