"""The other sides: `python rivals.py SIDE FOLDER SEED THREADS SECONDS` prints their predictions and time as JSON.

A script, not a module of the package: it runs in the environment of `requirements.txt`, without Foldstep. Every side
has the defaults of its authors. What differs is how it is given the columns:

- realmlp: pytabkit's RealMLP-TD with five folds (`n_cv=5`), whose networks' mean predicts; columns of text are
  categories.
- mlp: scikit-learn's `MLPClassifier` and `MLPRegressor`, which scale nothing themselves: standardised numbers, one-hot
  categories, standardised target.
- boosting: scikit-learn's `HistGradientBoosting`; categories by number, declared as such.
- catboost: `CatBoostClassifier` and `CatBoostRegressor`; categories declared as such.

Three sides search for SECONDS, by five folds, and have the preprocessing of the side without a search:

- mlp_search: the loop of scikit-learn's `RandomizedSearchCV` around its network; the winner is trained on all rows.
- optuna: what is written by hand: TPE with a median pruner around plain PyTorch, a process for each thread; the mean of
  the winner's five networks predicts, each stopped early on its fold.
- realmlp_search: pytabkit's own random search of RealMLP in the space that its authors recommend, with an ensemble
  chosen as Caruana et al. (2004) do.
"""

from __future__ import annotations

import csv
import json
import multiprocessing
import sys
import time
import warnings
from collections.abc import Callable
from contextlib import redirect_stdout
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

Texts = list[list[str]]
PACKAGES = {
    "realmlp": "pytabkit", "mlp": "scikit-learn", "boosting": "scikit-learn", "catboost": "catboost",
    "mlp_search": "scikit-learn", "optuna": "optuna", "realmlp_search": "pytabkit",
}  # fmt: skip
FOLDS, PATIENCE, MOST_EPOCHS = 5, 20, 1000
"""Of the searches: folds, and of Optuna's networks the epochs without a better score after which they stop."""


class Problem:
    """The two parts of a split; the task and the target's name come from `problem.json`.

    Attributes:
        seconds: time of a side that searches; the others do not read it.
    """

    def __init__(self, folder: Path, seed: int, threads: int, seconds: float) -> None:
        told = json.loads((folder / "problem.json").read_text())
        self.folder, self.seconds = folder, seconds
        self.seed, self.threads, self.is_regression = seed, threads, told["task"] == "regression"
        names, rows = _read(folder / "train.csv")
        target = names.index(told["target"])
        self.labels = np.array([row.pop(target) for row in rows])
        self.train, self.test = rows, _read(folder / "test.csv")[1]
        self.is_number = [all(_is_number(row[i]) for row in rows) for i in range(len(rows[0]))]

    @property
    def categories(self) -> list[int]:
        """Positions of the columns of text."""
        return [i for i, is_number in enumerate(self.is_number) if not is_number]

    @property
    def target(self) -> Any:
        """Numbers of a regression, classes of a classification."""
        return self.labels.astype(float) if self.is_regression else self.labels

    def matrices(self) -> tuple[Any, Any]:
        """Make matrices of both parts: numbers as they are, categories by number, unseen ones missing."""
        numbered = [_numbered(self.train, i) for i in self.categories]
        return self._matrix(self.train, numbered), self._matrix(self.test, numbered)

    def _matrix(self, rows: Texts, numbered: list[dict[str, int]]) -> Any:
        codes = dict(zip(self.categories, numbered, strict=True))
        columns = [
            [codes[i].get(row[i], np.nan) for row in rows] if i in codes else [float(row[i]) for row in rows]
            for i in range(len(self.is_number))
        ]
        return np.array(columns, dtype=float).T

    def frames(self) -> tuple[Any, Any]:
        """Make data frames of both parts: numbers, and text as categories."""
        import pandas

        frames = []
        for rows in (self.train, self.test):
            columns = {
                f"c{i}": [float(row[i]) for row in rows]
                if is_number
                else pandas.Series([r[i] for r in rows], dtype=object)
                for i, is_number in enumerate(self.is_number)
            }
            frames.append(pandas.DataFrame(columns))
        return frames[0], frames[1]


def _read(path: Path) -> tuple[list[str], Texts]:
    with path.open(newline="") as file:
        names, *rows = list(csv.reader(file))
    return names, rows


def _is_number(text: str) -> bool:
    try:
        return bool(np.isfinite(float(text)))
    except ValueError:
        return False


def _numbered(rows: Texts, column: int) -> dict[str, int]:
    return {text: number for number, text in enumerate(sorted({row[column] for row in rows}))}


def realmlp(problem: Problem) -> Any:
    """Train pytabkit's RealMLP-TD on five folds and predict by their mean."""
    from pytabkit import RealMLP_TD_Classifier, RealMLP_TD_Regressor

    learner = RealMLP_TD_Regressor if problem.is_regression else RealMLP_TD_Classifier
    model = learner(n_cv=5, device="cpu", random_state=problem.seed, n_threads=problem.threads, verbosity=0)
    train, test = problem.frames()
    return model.fit(train, problem.target).predict(test)


def mlp(problem: Problem) -> Any:
    """Train scikit-learn's network and predict."""
    train, test = problem.matrices()
    return _sklearn(problem).fit(train, problem.target).predict(test)


def _columns(problem: Problem) -> Any:
    """Make what standardises numbers and writes categories one-hot."""
    from sklearn.compose import ColumnTransformer
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    numbers = [i for i in range(len(problem.is_number)) if i not in problem.categories]
    one_hot = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    return ColumnTransformer([("n", StandardScaler(), numbers), ("c", one_hot, problem.categories)])


def _sklearn(problem: Problem, **settings: Any) -> Any:
    """Make scikit-learn's network with its preprocessing."""
    from sklearn.compose import TransformedTargetRegressor
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    learner = MLPRegressor if problem.is_regression else MLPClassifier
    model: Any = make_pipeline(_columns(problem), learner(random_state=problem.seed, **settings))
    return TransformedTargetRegressor(model, transformer=StandardScaler()) if problem.is_regression else model


def mlp_search(problem: Problem) -> Any:
    """Score networks of scikit-learn with random settings until the time is over, and predict with the best.

    `RandomizedSearchCV` has a number of settings and no time, so its loop is written out; no setting is begun that is
    likely not to end in time, and the last part of it is left for the training on all rows.
    """
    from scipy.stats import loguniform
    from sklearn.model_selection import ParameterSampler, cross_val_score

    ranges = {
        "hidden_layer_sizes": [(w,) * depth for w in (32, 64, 128, 256) for depth in (1, 2, 3)],
        "learning_rate_init": loguniform(1e-4, 1e-2), "alpha": loguniform(1e-6, 1.0), "activation": ["relu", "tanh"],
        "batch_size": [32, 64, 128, 256], "max_iter": [100, 200, 400],
    }  # fmt: skip
    train, test = problem.matrices()
    scoring = "neg_root_mean_squared_error" if problem.is_regression else "neg_log_loss"
    begun, tried = time.monotonic(), 0
    best: tuple[float, dict[str, Any]] = (-np.inf, {})
    for settings in ParameterSampler(ranges, 10**6, random_state=problem.seed):
        spent = time.monotonic() - begun
        if tried and spent * (tried + 1.5) / tried > problem.seconds:
            break
        model = _sklearn(problem, **settings)
        folds = cross_val_score(model, train, problem.target, cv=FOLDS, scoring=scoring, n_jobs=problem.threads)
        tried, best = tried + 1, max(best, (float(np.mean(folds)), settings), key=lambda one: one[0])
    return _sklearn(problem, **best[1]).fit(train, problem.target).predict(test)


def optuna(problem: Problem) -> Any:
    """Search with Optuna around plain PyTorch until the time is over; the mean of the best networks predicts."""
    until, context = time.monotonic() + problem.seconds, multiprocessing.get_context("spawn")
    given = (problem.folder, problem.seed, problem.threads, problem.seconds)
    workers = [context.Process(target=_optimise, args=(given, until, n)) for n in range(problem.threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    best = _study(problem, 0).best_trial.number
    said = np.load(problem.folder / f"said-{best}.npy")
    return said if problem.is_regression else np.unique(problem.labels)[said.argmax(axis=1)]


def _study(problem: Problem, process: int) -> Any:
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(
        study_name="quality", storage=JournalStorage(JournalFileBackend(str(problem.folder / "journal.log"))),
        sampler=optuna.samplers.TPESampler(seed=100 * problem.seed + process), direction="minimize",
        pruner=optuna.pruners.MedianPruner(), load_if_exists=True,
    )  # fmt: skip


def _optimise(given: tuple[Path, int, int, float], until: float, process: int) -> None:
    import torch

    torch.set_num_threads(1)
    problem = Problem(*given)
    prepared = _prepared(problem)

    def objective(trial: Any) -> float:
        import optuna

        settings = _suggested(trial)
        losses, said = [], []
        for fold in range(FOLDS):
            loss, answer = _plain(problem, prepared, fold, settings, until)
            losses.append(loss)
            said.append(answer)
            trial.report(float(np.mean(losses)), fold)
            if trial.should_prune() or _is_over(problem, until):
                raise optuna.TrialPruned
        np.save(problem.folder / f"said-{trial.number}.npy", np.mean(said, axis=0))
        return float(np.mean(losses))

    _study(problem, process).optimize(objective, timeout=max(until - time.monotonic(), 0.01))


def _is_over(problem: Problem, until: float) -> bool:
    """Tell whether the time is over, and there is a result: the first trial may end."""
    return time.monotonic() > until and any(problem.folder.glob("said-*.npy"))


def _suggested(trial: Any) -> dict[str, Any]:
    return {
        "width": trial.suggest_int("width", 16, 256, log=True), "depth": trial.suggest_int("depth", 1, 3),
        "lr": trial.suggest_float("lr", 1e-4, 1e-1, log=True), "dropout": trial.suggest_float("dropout", 0.0, 0.5),
        "decay": trial.suggest_float("decay", 1e-6, 1e-1, log=True),
        "batch_size": trial.suggest_categorical("batch_size", [32, 64, 128, 256]),
    }  # fmt: skip


def _prepared(problem: Problem) -> tuple[Any, ...]:
    """Preprocess both parts by the training part, and draw the fold of each training row."""
    import torch
    from sklearn.model_selection import KFold, StratifiedKFold

    columns, (train, test) = _columns(problem), problem.matrices()
    inputs = [
        torch.tensor(part, dtype=torch.float32) for part in (columns.fit_transform(train), columns.transform(test))
    ]
    y = problem.target if problem.is_regression else np.unique(problem.labels, return_inverse=True)[1]
    splitter = (KFold if problem.is_regression else StratifiedKFold)(FOLDS, shuffle=True, random_state=problem.seed)
    parts = [tuple(torch.from_numpy(rows) for rows in pair) for pair in splitter.split(train, y)]
    return (*inputs, torch.tensor(y, dtype=torch.float32 if problem.is_regression else torch.int64), parts)


def _plain(
    problem: Problem, prepared: tuple[Any, ...], fold: int, settings: dict[str, Any], until: float
) -> tuple[float, Any]:
    """Train one network; return its best validation loss and what it then says of the test rows."""
    import torch
    from torch import nn

    x, x_test, y, parts = prepared
    train, valid = parts[fold]
    mean, scale = (y[train].mean(), y[train].std()) if problem.is_regression else (0.0, 1.0)
    torch.manual_seed(problem.seed * FOLDS + fold)
    layers: list[Any] = []
    for i in range(settings["depth"]):
        n_in = x.shape[1] if i == 0 else settings["width"]
        layers += [nn.Linear(n_in, settings["width"]), nn.ReLU(), nn.Dropout(settings["dropout"])]
    n_outputs = 1 if problem.is_regression else int(y.max()) + 1
    net = nn.Sequential(*layers, nn.Linear(settings["width"], n_outputs))
    optimizer = torch.optim.AdamW(net.parameters(), lr=settings["lr"], weight_decay=settings["decay"])

    def loss_of(rows: Any) -> Any:
        said = net(x[rows])
        if problem.is_regression:
            return nn.functional.mse_loss(said[:, 0], (y[rows] - mean) / scale)
        return nn.functional.cross_entropy(said, y[rows])

    def measured(function: Callable[[], Any]) -> Any:
        net.eval()
        with torch.no_grad():
            found = function()
        net.train()
        return found

    def answer() -> Any:
        said = net(x_test)
        return (said[:, 0] * scale + mean if problem.is_regression else said.softmax(dim=1)).numpy()

    best, waited, said = np.inf, 0, measured(answer)
    for _ in range(MOST_EPOCHS):
        for rows in torch.split(train[torch.randperm(len(train))], settings["batch_size"]):
            optimizer.zero_grad()
            loss_of(rows).backward()
            optimizer.step()
        loss = float(measured(lambda: loss_of(valid)))
        waited = 0 if loss < best else waited + 1
        if waited == 0:
            best, said = loss, measured(answer)
        if waited >= PATIENCE or _is_over(problem, until):
            break
    return (float(best) * float(scale) ** 2 if problem.is_regression else float(best)), said


def realmlp_search(problem: Problem) -> Any:
    """Search with pytabkit: random settings of RealMLP on five folds, and an ensemble of them."""
    from pytabkit import RealMLP_HPO_Classifier, RealMLP_HPO_Regressor

    learner = RealMLP_HPO_Regressor if problem.is_regression else RealMLP_HPO_Classifier
    model = learner(
        n_cv=FOLDS, device="cpu", random_state=problem.seed, n_threads=problem.threads, verbosity=0,
        hpo_space_name="tabarena", use_caruana_ensembling=True, time_limit_s=problem.seconds,
    )  # fmt: skip
    train, test = problem.frames()
    return model.fit(train, problem.target).predict(test)


def boosting(problem: Problem) -> Any:
    """Train scikit-learn's boosted trees by histograms and predict."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    learner = HistGradientBoostingRegressor if problem.is_regression else HistGradientBoostingClassifier
    model = learner(categorical_features=problem.categories or None, random_state=problem.seed)
    train, test = problem.matrices()
    return model.fit(train, problem.target).predict(test)


def catboost(problem: Problem) -> Any:
    """Train CatBoost and predict."""
    from catboost import CatBoostClassifier, CatBoostRegressor

    learner = CatBoostRegressor if problem.is_regression else CatBoostClassifier
    train, test = problem.frames()
    model = learner(
        cat_features=[train.columns[i] for i in problem.categories], random_seed=problem.seed,
        thread_count=problem.threads, verbose=False, allow_writing_files=False,
    )  # fmt: skip
    return model.fit(train, problem.target).predict(test).ravel()


SIDES: dict[str, Callable[[Problem], Any]] = {
    "realmlp": realmlp,
    "mlp": mlp,
    "boosting": boosting,
    "catboost": catboost,
    "mlp_search": mlp_search,
    "optuna": optuna,
    "realmlp_search": realmlp_search,
}


def main(side: str, folder: str, seed: str, threads: str, seconds: str) -> None:
    """Train one side; print its predictions, its seconds without reading the files, and its versions."""
    warnings.simplefilter("ignore")
    problem = Problem(Path(folder), int(seed), int(threads), float(seconds))
    begun = time.monotonic()
    with redirect_stdout(sys.stderr):  # what a library prints is no part of the answer
        predicted = SIDES[side](problem)
    answer = {"predicted": [str(value) for value in predicted], "time": time.monotonic() - begun}
    print(json.dumps(answer | {"versions": versions(side)}))


def versions(side: str) -> dict[str, str]:
    """Tell the versions of a side's package and of what it computes with."""
    names = {PACKAGES[side], "numpy", "scikit-learn"} | ({"torch"} if side.startswith(("realmlp", "optuna")) else set())
    return {name: version(name) for name in sorted(names)}


def missing() -> list[str]:
    """List the sides whose packages this Python lacks."""
    modules = {"scikit-learn": "sklearn"}
    return [side for side, name in PACKAGES.items() if find_spec(modules.get(name, name)) is None]


if __name__ == "__main__":
    if sys.argv[1:] == ["missing"]:
        print(json.dumps(missing()))
    else:
        main(*sys.argv[1:])
