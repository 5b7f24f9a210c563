"""The competitors in `benchmarks.search`: Optuna around plain PyTorch, and scikit-learn's halving search."""

from __future__ import annotations

import json
import math
import multiprocessing
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import optuna
import torch
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from benchmarks.problem import problem_of
from benchmarks.ranges import ranges
from benchmarks.sides import ScoreKeeper
from foldstep.models.catalog.tasks import Task
from foldstep.models.hyperparameters import resolve
from foldstep.service.contract.columns import NumberColumn
from foldstep.service.contract.fields import MetricName
from foldstep.service.contract.spec import CvSpec, DataSpec
from foldstep.worker.data.inputs import FoldSource
from foldstep.worker.data.load import Table
from foldstep.worker.settings import PACK_BYTES_CPU
from foldstep.worker.steps.engine import Engine
from foldstep.worker.train.loop import Training
from foldstep.worker.train.member import Member
from tests.oracle.single import train_single

EPOCHS = 30
REFITS = 5
"""Trainings of each winner whose test scores are averaged."""
RANGES = ranges(lr=(1e-4, 1e-1), width=(16, 128), deepest=3, epochs=EPOCHS)
Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Problem:
    """One search: rows in a random order, the last `n_test` of them held back.

    Attributes:
        names: of the features.
        x: features of all rows, (rows, features).
        y: targets of all rows, (rows,).
        fold: number of the validation fold of each row that is searched on, (rows - n_test,).
    """

    names: list[str]
    x: Numbers
    y: Numbers
    n_test: int
    fold: npt.NDArray[np.int64]
    task: Task
    metric: MetricName
    batch_size: int
    seed: int

    @property
    def n_folds(self) -> int:
        """Number of folds of the rows that are searched on."""
        return int(self.fold.max()) + 1

    @property
    def x_search(self) -> Numbers:
        """Features of the rows that are searched on."""
        return self.x[: -self.n_test]

    @property
    def y_search(self) -> Numbers:
        """Targets of the rows that are searched on."""
        return self.y[: -self.n_test]

    @cached_property
    def source(self) -> FoldSource:
        """The folds of the search, each standardised by its training part."""
        return self._source(self.x_search, self.y_search, self.fold)

    @cached_property
    def final(self) -> FoldSource:
        """All rows of the search as the training part, and the test part as the validation part."""
        return self._source(self.x, self.y, (np.arange(len(self.y)) >= len(self.y) - self.n_test).astype(np.int64))

    def _source(self, x: Numbers, y: Numbers, fold: npt.NDArray[np.int64]) -> FoldSource:
        columns = {name: NumberColumn(x[:, i].copy()) for i, name in enumerate(self.names)}
        extra = {"target": NumberColumn(y.copy()), "fold": NumberColumn(fold.astype(np.float64))}
        data = DataSpec.model_validate({"dataset": "x", "target": "target", "task": self.task})
        n_folds = len(np.unique(fold))
        problem = problem_of(data, CvSpec(column="fold"), self.metric, n_folds=n_folds, seed=self.seed)
        return FoldSource(Table({**columns, **extra}), problem)

    def score_of(self, predictions: Sequence[float]) -> float:
        """Compute the metric of predictions for the test part."""
        truth, given = self.y[-self.n_test :], np.asarray(predictions)
        return float(np.mean(given == truth) if self.metric == "accuracy" else np.sqrt(np.mean((given - truth) ** 2)))

    @property
    def sign(self) -> int:
        """1 where a greater score is better, else -1."""
        return 1 if self.metric == "accuracy" else -1


@dataclass(frozen=True)
class Found:
    """The winner of one side.

    Attributes:
        score: mean over the folds; NaN where there is no winner.
        params: its hyperparameters.
        n_trials: configurations that were tried.
        wall_s: seconds that the search took.
        test: score of the side's own predictions for the test part; None where a user trains the winner anew.
    """

    score: float
    params: dict[str, Any]
    n_trials: int
    wall_s: float
    test: float | None = None


def nothing(n_trials: int, wall_s: float) -> Found:
    """Make the result of a side that finished no configuration in its time."""
    return Found(math.nan, {}, n_trials, wall_s)


def plain_score(problem: Problem, params: dict[str, Any], fold: int) -> float:
    """Train one network with stock PyTorch; return the best epoch's score, NaN where none is finite."""
    hp = resolve({"batch_size": problem.batch_size, "seed": problem.seed, **params})
    result = train_single(hp, fold, problem.source.fold(fold, hp.preparation), problem.metric, torch.float32)
    finite = [s for s in result.scores if np.isfinite(s)]
    return max(finite, key=lambda s: problem.sign * s) if finite else float("nan")


def test_score(problem: Problem, params: dict[str, Any]) -> float:
    """Train the winner anew on all rows of the search and score it on the test part.

    It trains for the mean number of epochs that its folds took to their best. The score is the mean of `REFITS` seeds,
    since a single training depends more on its seed than on the hyperparameters. The networks train in lockstep, which
    equals plain training (`tests/worker/train/test_packed.py`) and is faster.
    """
    seeds = range(REFITS)
    folds = _train(problem.source, problem, params, [(seed, fold) for seed in seeds for fold in range(problem.n_folds)])
    took = [_best_epoch(scores, problem.sign) for scores in folds.values()]
    final = _train(problem.final, problem, params, [(seed, 1) for seed in seeds])
    return statistics.mean(scores[round(statistics.mean(took)) - 1] for scores in final.values())


def _train(
    source: FoldSource, problem: Problem, params: dict[str, Any], runs: Sequence[tuple[int, int]]
) -> dict[tuple[int, int], list[float]]:
    """Train a network for each (seed, fold) of `runs` and return its score in every epoch."""
    watch = ScoreKeeper()
    members = [
        Member(seed, fold, resolve({"batch_size": problem.batch_size, **params, "epochs": EPOCHS, "seed": seed}))
        for seed, fold in runs
    ]
    Training(source, problem.metric, Engine(torch.device("cpu"), PACK_BYTES_CPU)).train(members, watch)
    return watch.scores


def _best_epoch(scores: Sequence[float], sign: int) -> int:
    return max(range(1, len(scores) + 1), key=lambda epoch: sign * scores[epoch - 1])


# -- Optuna -----------------------------------------------------------------------------------------------------


def optuna_tpe(problem: Problem, folder: Path, seconds: float) -> Found:
    """Search with Optuna's TPE and a median pruner, in two processes on one storage."""
    begun = time.monotonic()
    path = str(folder / "journal.log")
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_optimise, args=(problem, path, begun + seconds, n)) for n in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    study = optuna.load_study(study_name="benchmark", storage=_storage(path))
    wall_s = time.monotonic() - begun
    if not study.get_trials(states=(TrialState.COMPLETE,)):
        return nothing(len(study.trials), wall_s)
    return Found(study.best_value, dict(study.best_params), len(study.trials), wall_s)


def _storage(path: str) -> JournalStorage:
    return JournalStorage(JournalFileBackend(path))


def _optimise(problem: Problem, path: str, until: float, number: int) -> None:
    torch.set_num_threads(1)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        study_name="benchmark",
        storage=_storage(path),
        sampler=optuna.samplers.TPESampler(seed=2 * problem.seed + number),
        pruner=optuna.pruners.MedianPruner(),
        direction="maximize" if problem.sign > 0 else "minimize",
        load_if_exists=True,
    )
    study.optimize(lambda trial: _objective(problem, trial, until), timeout=until - time.monotonic())


def _objective(problem: Problem, trial: optuna.Trial, until: float) -> float:
    params = {name: suggested(trial, name, values) for name, values in RANGES.items()}
    scores: list[float] = []
    for fold in range(problem.n_folds):
        scores.append(plain_score(problem, params, fold))
        trial.report(float(np.mean(scores)), fold)
        if trial.should_prune() or time.monotonic() > until:
            raise optuna.TrialPruned
    return float(np.mean(scores))


def suggested(trial: optuna.Trial, name: str, values: Any) -> Any:
    """Let Optuna draw a value from one entry of `RANGES`."""
    if isinstance(values, list):
        return trial.suggest_categorical(name, values)
    if not isinstance(values, dict):
        return values
    suggest = trial.suggest_int if isinstance(values["low"], int) else trial.suggest_float
    return suggest(name, **values)


# -- scikit-learn -----------------------------------------------------------------------------------------------


def halving(problem: Problem, folder: Path, seconds: float) -> Found:
    """Search with scikit-learn in a separate process, which is killed when the time is up."""
    np.savez(folder / "problem.npz", x=problem.x, y=problem.y, fold=problem.fold)
    facts = {"n_test": problem.n_test, "task": problem.task, "metric": problem.metric, "seed": problem.seed}
    (folder / "facts.json").write_text(json.dumps({**facts, "batch_size": problem.batch_size, "names": problem.names}))
    begun = time.monotonic()
    with (folder / "out.jsonl").open("w") as out, (folder / "errors").open("w") as errors:
        child = subprocess.Popen([sys.executable, "-m", "benchmarks.rivals", str(folder)], stdout=out, stderr=errors)
        try:
            child.wait(seconds)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
    wall_s = time.monotonic() - begun
    lines = [json.loads(line) for line in (folder / "out.jsonl").read_text().splitlines()]
    if not lines:
        return nothing(0, wall_s)
    best = max(lines, key=lambda line: problem.sign * line["score"])
    return Found(best["score"], best["params"], sum(line["n_trials"] for line in lines), wall_s)


def _halve_for_ever(folder: Path) -> None:
    facts, arrays = json.loads((folder / "facts.json").read_text()), np.load(folder / "problem.npz")
    problem = Problem(x=arrays["x"], y=arrays["y"], fold=arrays["fold"], **facts)
    warnings.simplefilter("ignore")
    for number in range(10_000):
        print(json.dumps(halve(problem, 10_000 * problem.seed + number), default=float), flush=True)


def halve(problem: Problem, seed: int) -> dict[str, Any]:
    """Run one halving search of nine configurations; return its winner as a JSON record."""
    from scipy.stats import loguniform
    from sklearn.experimental import enable_halving_search_cv  # noqa: F401
    from sklearn.model_selection import HalvingRandomSearchCV, PredefinedSplit

    model, prefix, scoring = _sklearn(problem)
    widths = np.unique(np.geomspace(*_bounds("width"), 24).round().astype(int)).tolist()
    ranges = {
        "hidden_layer_sizes": [(w,) * d for w in widths for d in RANGES["depth"]],
        "learning_rate_init": loguniform(*_bounds("lr")),
        "alpha": loguniform(*_bounds("weight_decay")),
        "activation": RANGES["activation"],
    }
    search = HalvingRandomSearchCV(
        model, {prefix + name: values for name, values in ranges.items()},
        resource=prefix + "max_iter", min_resources=3, max_resources=EPOCHS, factor=3, n_candidates=9,
        scoring=scoring, cv=PredefinedSplit(problem.fold), random_state=seed, n_jobs=2, refit=False,
    ).fit(problem.x_search, problem.y_search)  # fmt: skip
    # in scikit-learn a greater score is always better
    return {"score": problem.sign * float(search.best_score_), "params": search.best_params_, "n_trials": 9}


def halving_test_score(problem: Problem, params: dict[str, Any]) -> float:
    """Train scikit-learn's winner `REFITS` times on all rows of the search; return the mean score on the test part."""
    from sklearn.metrics import get_scorer

    model, prefix, scoring = _sklearn(problem)
    chosen = {name: tuple(value) if isinstance(value, list) else value for name, value in params.items()}
    found = []
    for seed in range(REFITS):
        model.set_params(**chosen, **{prefix + "random_state": seed}).fit(problem.x_search, problem.y_search)
        found.append(get_scorer(scoring)(model, problem.x[-problem.n_test :], problem.y[-problem.n_test :]))
    return problem.sign * float(statistics.mean(found))


def _sklearn(problem: Problem) -> tuple[Any, str, str]:
    """Build the model; return it, the prefix of its network's parameter names, and the name of its scorer."""
    from sklearn.compose import TransformedTargetRegressor
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if problem.task == "classification":
        network = MLPClassifier(batch_size=problem.batch_size, random_state=problem.seed)
        return make_pipeline(StandardScaler(), network), "mlpclassifier__", "accuracy"
    network = MLPRegressor(batch_size=problem.batch_size, random_state=problem.seed)
    model = TransformedTargetRegressor(make_pipeline(StandardScaler(), network), transformer=StandardScaler())
    return model, "regressor__mlpregressor__", "neg_root_mean_squared_error"


def _bounds(name: str) -> tuple[float, float]:
    return RANGES[name]["low"], RANGES[name]["high"]


if __name__ == "__main__":
    _halve_for_ever(Path(sys.argv[1]))
