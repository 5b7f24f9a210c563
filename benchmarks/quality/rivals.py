"""The other sides: `python rivals.py SIDE FOLDER SEED THREADS` prints their predictions and their time as JSON.

A script, not a module of the package: it runs in the environment of `requirements.txt`, without Foldstep. Every side
has the defaults of its authors. What differs is how it is given the columns:

- realmlp: pytabkit's RealMLP-TD with five folds (`n_cv=5`), whose networks' mean predicts; columns of text are
  categories.
- mlp: scikit-learn's `MLPClassifier` and `MLPRegressor`, which scale nothing themselves: standardised numbers, one-hot
  categories, standardised target.
- boosting: scikit-learn's `HistGradientBoosting`; categories by number, declared as such.
- catboost: `CatBoostClassifier` and `CatBoostRegressor`; categories declared as such.
"""

from __future__ import annotations

import csv
import json
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
PACKAGES = {"realmlp": "pytabkit", "mlp": "scikit-learn", "boosting": "scikit-learn", "catboost": "catboost"}


class Problem:
    """The two parts of a split; the task and the target's name come from `problem.json`."""

    def __init__(self, folder: Path, seed: int, threads: int) -> None:
        told = json.loads((folder / "problem.json").read_text())
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
    from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    numbers = [i for i in range(len(problem.is_number)) if i not in problem.categories]
    one_hot = OneHotEncoder(handle_unknown="ignore")
    columns = ColumnTransformer([("n", StandardScaler(), numbers), ("c", one_hot, problem.categories)])
    learner = MLPRegressor if problem.is_regression else MLPClassifier
    model: Any = make_pipeline(columns, learner(random_state=problem.seed))
    if problem.is_regression:
        model = TransformedTargetRegressor(model, transformer=StandardScaler())
    train, test = problem.matrices()
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
}


def main(side: str, folder: str, seed: str, threads: str) -> None:
    """Train one side; print its predictions, its seconds without reading the files, and its versions."""
    warnings.simplefilter("ignore")
    problem = Problem(Path(folder), int(seed), int(threads))
    begun = time.monotonic()
    with redirect_stdout(sys.stderr):  # what a library prints is no part of the answer
        predicted = SIDES[side](problem)
    answer = {"predicted": [str(value) for value in predicted], "time": time.monotonic() - begun}
    print(json.dumps(answer | {"versions": versions(side)}))


def versions(side: str) -> dict[str, str]:
    """Tell the versions of a side's package and of what it computes with."""
    names = {PACKAGES[side], "numpy", "scikit-learn"} | ({"torch"} if side == "realmlp" else set())
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
