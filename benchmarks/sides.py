"""The two sides of the throughput benchmark: the packed engine, and plain PyTorch written by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits, make_classification
from sklearn.utils import Bunch
from torch import nn

from benchmarks.problem import problem_of
from foldstep.models.hyperparameters import Hyperparameters, resolve
from foldstep.models.init import initial_weights
from foldstep.models.streams import Stream
from foldstep.models.weights import Weights
from foldstep.service.contract.columns import NumberColumn
from foldstep.service.contract.spec import CvSpec, DataSpec
from foldstep.worker.data.inputs import FoldData, FoldSource
from foldstep.worker.data.load import Table
from foldstep.worker.settings import PACK_BYTES_CPU
from foldstep.worker.steps.engine import Engine
from foldstep.worker.train.loop import Training
from foldstep.worker.train.member import Member
from foldstep.worker.train.oversight import Unwatched
from foldstep.worker.train.probe import Probe
from tests.models.stage import StageModule

Share = Sequence[tuple[int, dict[str, Any]]]
Scores = dict[tuple[int, int], list[float]]

torch.set_num_threads(1)


def digits(folds: int) -> FoldSource:
    """Load scikit-learn's digits, split into folds."""
    return folds_of(load_digits(), folds)


def numbers(folds: int) -> FoldSource:
    """Make a classification of 10 numeric columns, as many rows as digits has, split into folds."""
    x, y = make_classification(1797, 10, n_informative=8, n_classes=4, random_state=0)
    return folds_of(Bunch(data=x, target=y), folds)


def folds_of(bunch: Any, folds: int) -> FoldSource:
    """Split a classification data set of scikit-learn into folds."""
    columns = {f"x{i}": NumberColumn(bunch.data[:, i].astype(np.float64)) for i in range(bunch.data.shape[1])}
    columns["target"] = NumberColumn(bunch.target.astype(np.float64))
    data = DataSpec(dataset="bundled", target="target", task="classification")
    return FoldSource(Table(columns), problem_of(data, CvSpec(folds=folds), "accuracy", n_folds=folds))


class ScoreKeeper(Unwatched):
    """A monitor that counts steps and keeps scores.

    Attributes:
        steps: member-steps trained.
        scores: of each member, one for each epoch.
    """

    def __init__(self) -> None:
        self.steps = 0
        self.scores: Scores = {}

    def epoch_done(self, _members: Sequence[Member], member_steps: int) -> None:
        """Count the steps."""
        self.steps += member_steps

    def member_done(self, member: Member, _weights: Weights | None) -> None:
        """Keep the scores, one for each epoch; NaN where one was not finite."""
        self.scores[member.key] = [s if s is not None else float("nan") for s in member.progress.scores]


def train_packed(
    source: FoldSource, share: Share, probing: type[Probe] = Probe, engine: Engine | None = None
) -> tuple[int, Scores]:
    """Train all trials and folds in lockstep, on one core unless an engine is given.

    Returns:
        The number of member-steps, and the scores of each (trial, fold) by epoch.
    """
    watch = ScoreKeeper()
    members = [Member(trial, fold, resolve(c)) for trial, c in share for fold in range(source.n_folds)]
    engine = engine or Engine(torch.device("cpu"), PACK_BYTES_CPU)
    Training(source, "accuracy", engine, probing).train(members, watch)
    return watch.steps, watch.scores


def train_plain(source: FoldSource, share: Share) -> tuple[int, Scores]:
    """Train one network after another with plain PyTorch; return what `train_packed` returns."""
    steps, scores = 0, {}
    for trial, configuration in share:
        hp = resolve(configuration)
        for fold in range(source.n_folds):
            taken, scores[trial, fold] = _train_one(hp, fold, source.fold(fold, hp.preparation))
            steps += taken
    return steps, scores


def _train_one(hp: Hyperparameters, fold: int, data: FoldData) -> tuple[int, list[float]]:
    x, y = torch.from_numpy(data.x_train.copy()), torch.from_numpy(data.y_train.copy())
    x_valid, y_valid = torch.from_numpy(data.x_valid.copy()), torch.from_numpy(data.y_valid.copy())
    net = _sequential(hp, data)
    optimizer = torch.optim.Adam(net.parameters(), lr=hp.lr)
    loss_of = nn.CrossEntropyLoss()
    steps, scores = 0, []
    for epoch in range(1, hp.epochs + 1):
        order = torch.from_numpy(Stream(hp.seed, fold, hp.batch_size).order(len(x), epoch))
        for rows in torch.split(order, hp.batch_size):
            optimizer.zero_grad()
            loss_of(net(x[rows]), y[rows]).backward()
            optimizer.step()
            steps += 1
        with torch.no_grad():
            scores.append((net(x_valid).argmax(1) == y_valid).double().mean().item())
    return steps, scores


def _sequential(hp: Hyperparameters, data: FoldData) -> nn.Sequential:
    stage = data.stage(hp)
    sizes = (data.n_inputs if stage is None else stage.n_units, *hp.hidden, data.n_outputs)
    layers: list[nn.Module] = [] if stage is None else [StageModule(stage, hp, torch.float32)]
    for i in range(len(sizes) - 1):
        linear = nn.Linear(sizes[i], sizes[i + 1])
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(initial_weights(hp.init, hp.seed, i, sizes[i], sizes[i + 1])))
            linear.bias.zero_()
        layers += [linear, nn.ReLU()]
    return nn.Sequential(*layers[:-1])
