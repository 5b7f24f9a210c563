"""What the estimators share: their parameters, the checks of what they are given, and what a search has left."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_sample_weight, check_consistent_length, check_is_fitted, validate_data

from foldstep.estimator_input import as_matrix, features_of, is_frame, plain, write_table
from foldstep.estimator_results import cv_results, greater_is_better
from foldstep.estimator_search import Found, place_of, search, teller
from foldstep.loaded import Model, model_of
from foldstep.result_frames import as_frame, leaderboard_rows
from foldstep.service.contract.defaults import FOLDS
from foldstep.service.contract.errors import FitRefused
from foldstep.whole_file import whole_file

if TYPE_CHECKING:
    import pyarrow as pa

_LEAST_ROWS = 2
_MOST_NAMED = 10
Array = npt.NDArray[Any]


class Estimator(BaseEstimator):  # type: ignore[misc]
    """What both estimators share; see `FoldstepClassifier`."""

    _task: str

    def __init__(  # noqa: PLR0913 - the parameters of an estimator
        self,
        *,
        time_limit: float | str = 120,
        n_trials: int | None = None,
        metric: str | Mapping[str, Any] | None = None,
        parameters: Mapping[str, Any] | None = None,
        cv: int | Mapping[str, Any] | None = None,
        final: Mapping[str, Any] | None = None,
        n_workers: int | None = None,
        random_state: int | np.random.RandomState | None = None,
        data_dir: str | PathLike[str] | None = None,
        verbose: int = 0,
    ) -> None:
        self.time_limit = time_limit
        self.n_trials = n_trials
        self.metric = metric
        self.parameters = parameters
        self.cv = cv
        self.final = final
        self.n_workers = n_workers
        self.random_state = random_state
        self.data_dir = data_dir
        self.verbose = verbose

    def _fit(self, X: Any, target: Array, weight: Array | None, name: str, rarest: int | None = None) -> None:
        """Search, and keep what was found.

        Args:
            X: features, whose names and number are known already.
            target: (rows,), as it is written into the table.
            weight: (rows,); None where all rows count alike.
            name: of the target.
            rarest: rows of the rarest class; None for a regression.
        """
        features = self._features(X)
        if weight is not None:
            kept = weight > 0  # a row that counts nothing is no row
            features, target, weight = features.filter(kept), target[kept], weight[kept]
        self.__dict__.pop("_file", None)

        def write(path: Path) -> dict[str, Any]:
            return {**write_table(path, features, (name, target), weight), "task": self._task}

        self._keep(search(place_of(self.data_dir, self.n_workers), self._spec(rarest), write, teller(self.verbose)))

    def _keep(self, found: Found) -> None:
        direction = found.search.metric.direction
        assert found.search.best is not None
        assert found.search.best.score is not None
        self.best_params_ = dict(found.search.best.params)
        self.best_score_ = greater_is_better(found.search.best.score, direction)
        self.cv_results_ = cv_results(found.trials, found.search.n_folds, direction)
        self.notes_ = list(found.search.notes)
        self._rows = leaderboard_rows(found.trials)
        self._file = found.model
        self._loaded = model_of(found.model)
        self._warn_of_unused(self._loaded.columns)

    def _warn_of_unused(self, used: Sequence[str]) -> None:
        """Say which columns the networks do not get, as constant ones; names are compared as a table has them."""
        unused = [name for name in self._names if name.strip() and name.strip() not in used]
        if unused:
            more = f" and {len(unused) - _MOST_NAMED:,} more" if len(unused) > _MOST_NAMED else ""
            warnings.warn(
                f"{len(unused):,} of {len(self._names):,} columns are not used: "
                f"{', '.join(unused[:_MOST_NAMED])}{more}. A column without two different "
                "values says nothing, and a text that differs in every row names it; "
                "notes_ has more.",
                UserWarning,
                stacklevel=5,
            )

    def _spec(self, rarest: int | None) -> dict[str, Any]:
        """Write the spec of the search, without its data."""
        budget = {"time": self.time_limit} if self.n_trials is None else {"trials": self.n_trials}
        chosen = {"metric": self.metric, "parameters": self.parameters, "cv": self._cv(rarest), "final": self.final,
                  "seed": self._seed()}  # fmt: skip
        spec = {"name": type(self).__name__, "budget": budget, **{k: v for k, v in chosen.items() if v is not None}}
        return {key: plain(value) for key, value in spec.items()}

    def _cv(self, rarest: int | None) -> Mapping[str, Any] | None:
        """Write the validation: a number of folds keeps classes in proportion where each has so many rows."""
        n_folds = FOLDS if self.cv is None and self.parameters is not None else self.cv
        if not isinstance(n_folds, int | np.integer):
            return n_folds
        if rarest is None or rarest >= n_folds:
            return {"folds": n_folds}
        warnings.warn(
            f"The rarest class has {rarest} row(s), fewer than {n_folds} folds, so the folds do not keep the classes "
            "in proportion. To say otherwise, take fewer folds, or cv as the spec of a search has it.",
            UserWarning,
            stacklevel=4,
        )
        return {"folds": n_folds, "stratify": False}

    def _seed(self) -> int | None:
        if self.random_state is None or isinstance(self.random_state, int | np.integer):
            return self.random_state
        return int(check_random_state(self.random_state).randint(2**31 - 1))

    def _begin(self, X: Any, y: Any) -> tuple[Any, Any]:
        """Check features and remember their names and number.

        Raises:
            ValueError: as scikit-learn does.
        """
        if not is_frame(X):
            X = as_matrix(X, ensure_min_samples=_LEAST_ROWS, estimator=self)
        X, y = validate_data(self, X, y, skip_check_array=True)
        if len(X) < _LEAST_ROWS or X.shape[1] < 1:
            raise FitRefused(
                f"X has {len(X)} sample(s) and {X.shape[1]} feature(s) (shape={X.shape}), while a minimum of "
                f"{_LEAST_ROWS} samples and 1 feature is required."
            )
        self._names = self._names_of(X)
        check_consistent_length(X, y)
        return X, y

    def _names_of(self, X: Any) -> list[str]:
        return [str(name) for name in X.columns] if is_frame(X) else [f"x{j}" for j in range(X.shape[1])]

    def _checked(self, X: Any) -> Any:
        """Check features to predict.

        Raises:
            NotFittedError: nothing was fitted.
            ValueError: they are others than those of `fit`, as scikit-learn says it.
        """
        check_is_fitted(self)
        if not is_frame(X):
            X = as_matrix(X, estimator=self)
        return self._features(validate_data(self, X, reset=False, skip_check_array=True))

    def _features(self, X: Any) -> pa.Table:
        return features_of(X, self._names)

    def _weights(self, sample_weight: Any, X: Any) -> Array | None:
        if sample_weight is None:
            return None
        weight: Array = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        if not weight.any():
            raise FitRefused("All sample weights are zero: Sample weights must contain at least one non-zero number.")
        return weight

    @property
    def model_(self) -> Model:
        """The model, as `foldstep.load` gives it.

        Raises:
            NotFittedError: nothing was fitted.
        """
        check_is_fitted(self)
        if "_loaded" not in self.__dict__:  # the state came from a pickle
            self._loaded = model_of(self._file)
        return self._loaded

    @property
    def leaderboard_(self) -> Any:
        """All trials, the best first, with the metric as it is: a loss is a loss. A DataFrame of pandas or polars.

        Raises:
            NotFittedError: nothing was fitted.
        """
        check_is_fitted(self)
        return as_frame(self._rows, ())

    def save(self, path: str | PathLike[str]) -> None:
        """Write the model file, whole or not at all; `foldstep.load` and `foldstep predict` read it.

        Args:
            path: of the file; one that is there is replaced.

        Raises:
            NotFittedError: nothing was fitted.
            InvalidInput: the file cannot be written.
        """
        check_is_fitted(self)
        with whole_file(Path(path)) as file:
            file.write(self._file)

    def __sklearn_is_fitted__(self) -> bool:
        return "_file" in self.__dict__

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = dict(super().__getstate__())
        state.pop("_loaded", None)
        return state

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = tags.input_tags.string = tags.input_tags.categorical = True
        tags.target_tags.required = True
        tags.non_deterministic = self.n_trials is None  # how many trials end in a time depends on the machine
        return tags
