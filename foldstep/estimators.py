"""Estimators of scikit-learn: a search behind `fit`, its ensemble behind `predict`.

    from foldstep import FoldstepClassifier
    model = FoldstepClassifier(time_limit=60).fit(X, y)
    model.predict_proba(X)

`fit` writes the table into a file, submits a search to a service that this process keeps, and takes the ensemble home
as the bytes of a model file. So a pickle of an estimator holds safetensors and JSON, and no code.
"""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import assert_all_finite, check_random_state, column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, check_consistent_length, check_is_fitted, validate_data

from foldstep.estimator_input import Labels, as_matrix, features_of, is_frame, write_table
from foldstep.estimator_results import as_frame, cv_results, leaderboard_rows
from foldstep.estimator_search import Found, Place, search, teller
from foldstep.loaded import Model, load
from foldstep.model_file import whole_file
from foldstep.service.contract.errors import FitRefused

if TYPE_CHECKING:
    import pyarrow as pa

_LEAST_ROWS = 2
Array = npt.NDArray[Any]


class _Estimator(BaseEstimator):  # type: ignore[misc]
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
        self.n_workers = n_workers
        self.random_state = random_state
        self.data_dir = data_dir
        self.verbose = verbose

    def _fit(self, X: Any, target: Array, weight: Array | None, name: str) -> None:
        """Search, and keep what was found.

        Args:
            X: features, whose names and number are known already.
            target: (rows,), as it is written into the table.
            weight: (rows,); None where all rows count alike.
            name: of the target.
        """
        features = self._features(X)
        if weight is not None:
            kept = weight > 0  # a row that counts nothing is no row
            features, target, weight = features.filter(kept), target[kept], weight[kept]
        self.__dict__.pop("_file", None)

        def write(path: Path) -> dict[str, Any]:
            return {**write_table(path, features, (name, target), weight), "task": self._task}

        self._keep(search(self._place(), self._spec(), write, teller(self.verbose)))

    def _keep(self, found: Found) -> None:
        sign = 1.0 if found.search.metric.direction == "max" else -1.0
        assert found.search.best is not None
        assert found.search.best.score is not None
        self.best_params_ = dict(found.search.best.params)
        self.best_score_ = sign * found.search.best.score
        self.cv_results_ = cv_results(found.trials, found.search.n_folds, sign)
        self.notes_ = list(found.search.notes)
        self._rows = leaderboard_rows(found.trials)
        self._file = found.model
        self._loaded = _read(found.model)

    def _spec(self) -> dict[str, Any]:
        """Write the spec of the search, without its data."""
        budget = {"time": self.time_limit} if self.n_trials is None else {"trials": self.n_trials}
        cv = {"folds": self.cv} if isinstance(self.cv, int | np.integer) else self.cv
        chosen = {"metric": self.metric, "parameters": self.parameters, "cv": cv, "seed": self._seed()}
        spec = {"name": type(self).__name__, "budget": budget, **{k: v for k, v in chosen.items() if v is not None}}
        return {key: _plain(value) for key, value in spec.items()}

    def _seed(self) -> int | None:
        if self.random_state is None or isinstance(self.random_state, int | np.integer):
            return self.random_state
        return int(check_random_state(self.random_state).randint(2**31 - 1))

    def _place(self) -> Place:
        n_workers = self.n_workers
        if n_workers is not None and not (isinstance(n_workers, int | np.integer) and n_workers >= 1):
            raise FitRefused(f"n_workers is a number of processes from 1, or None for one a core; it is {n_workers!r}.")
        return Place(None if self.data_dir is None else Path(self.data_dir), n_workers)

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
            self._loaded = _read(self._file)
        return self._loaded

    @property
    def leaderboard_(self) -> Any:
        """All trials, the best first, with the metric as it is: a loss is a loss. A DataFrame of pandas or polars.

        Raises:
            NotFittedError: nothing was fitted.
        """
        check_is_fitted(self)
        return as_frame(self._rows)

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


class FoldstepClassifier(ClassifierMixin, _Estimator):  # type: ignore[misc]
    """A classifier: a search for networks, and the ensemble of the best of them.

    Args:
        time_limit: how long to search, in seconds or as "2m".
        n_trials: how many trials to search, in place of a time.
        metric: that trials are ranked by, by Foldstep's names; None for one that suits the table.
        parameters: the space, as a spec has it; None for the default space of the table's size.
        cv: number of folds, or the `cv` of a spec; None for one that suits the table.
        n_workers: worker processes; None for one a GPU or CPU core.
        random_state: seed of folds, space and networks; None for the seed 0.
        data_dir: folder of the service, where searches stay; None for a temporary one.
        verbose: 1 to tell the progress on standard output.

    Attributes:
        classes_: the classes, in the order of the probabilities.
        n_features_in_: number of features.
        feature_names_in_: their names, where X had any.
        best_params_: hyperparameters of the best trial.
        best_score_: its score, mean over the folds; a loss is negated, so that more is better.
        cv_results_: all trials, as `GridSearchCV` has them; losses are negated.
        leaderboard_: all trials as a DataFrame, the best first; a loss is a loss.
        notes_: what the search chose and found in the data, one sentence each.
        model_: the model, as `foldstep.load` gives it.
    """

    _task = "classification"

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Search, and keep the ensemble of the best trials.

        Args:
            X: (rows, features), an array, or a DataFrame of pandas or polars; NaN and None are missing values.
            y: (rows,), labels of any kind.
            sample_weight: (rows,), how much each row counts.

        Returns:
            The estimator.

        Raises:
            ValueError: X or y cannot be used; `FitRefused` where Foldstep says so.
            NothingTrained: the time was over before a trial had a score.
            FoldstepError: the service did not start, or ended.
        """
        X, y = self._begin(X, y)
        name = _name_of(y)
        y = column_or_1d(y, warn=True)
        _check_labels(y)
        weight = self._weights(sample_weight, X)
        classes, codes = np.unique(y, return_inverse=True)
        counted = np.unique(codes if weight is None else codes[weight > 0])
        if len(counted) < 2:
            raise FitRefused(f"y has only the class {classes[counted[0]]!r}; a classifier needs at least two classes.")
        classes, codes = classes[counted], np.searchsorted(counted, codes)
        labels = Labels.of(classes)
        self._fit(X, np.array(labels.written)[np.minimum(codes, len(classes) - 1)], weight, name)
        self.classes_ = classes
        self._order = _order(labels, self.model_)
        return self

    def predict_proba(self, X: Any) -> npt.NDArray[np.float64]:
        """Predict the probability of each class.

        Args:
            X: (rows, features), as for `fit`.

        Returns:
            (rows, classes), in the order of `classes_`.

        Raises:
            NotFittedError: nothing was fitted.
            ValueError: X has other features than that of `fit`.
        """
        return self._shares(X, weighted=False)

    def predict(self, X: Any) -> Array:
        """Predict classes, the most probable one of each row as training weighted them; arguments as `predict_proba`.

        Returns:
            (rows,), of the type of `classes_`.

        Raises:
            NotFittedError: nothing was fitted.
            ValueError: X has other features than that of `fit`.
        """
        chosen = self._shares(X, weighted=True).argmax(axis=1)
        found: Array = self.classes_[chosen]
        return found

    def _shares(self, X: Any, *, weighted: bool) -> npt.NDArray[np.float64]:
        features = self._checked(X)
        shares: npt.NDArray[np.float64] = self.model_.predict_proba(features, weighted=weighted)
        return shares[:, self._order]


class FoldstepRegressor(RegressorMixin, _Estimator):  # type: ignore[misc]
    """A regressor: a search for networks, and the ensemble of the best of them.

    Parameters and attributes are those of `FoldstepClassifier`, without `classes_`.
    """

    _task = "regression"

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Search, and keep the ensemble of the best trials.

        Args:
            X: (rows, features), an array, or a DataFrame of pandas or polars; NaN and None are missing values.
            y: (rows,), numbers.
            sample_weight: (rows,), how much each row counts.

        Returns:
            The estimator.

        Raises:
            ValueError: X or y cannot be used; `FitRefused` where Foldstep says so.
            NothingTrained: the time was over before a trial had a score.
            FoldstepError: the service did not start, or ended.
        """
        X, y = self._begin(X, y)
        name = _name_of(y)
        y = column_or_1d(y, dtype=np.float64, warn=True)
        assert_all_finite(y, input_name="y")
        self._fit(X, y, self._weights(sample_weight, X), name)
        return self

    def predict(self, X: Any) -> npt.NDArray[np.float64]:
        """Predict values.

        Args:
            X: (rows, features), as for `fit`.

        Returns:
            (rows,)

        Raises:
            NotFittedError: nothing was fitted.
            ValueError: X has other features than that of `fit`.
        """
        features = self._checked(X)
        values: npt.NDArray[np.float64] = self.model_.predict(features)
        return values


def _read(content: bytes) -> Model:
    with TemporaryDirectory(prefix="foldstep-") as folder:
        path = Path(folder) / "model.foldstep"
        path.write_bytes(content)
        return load(path)


def _name_of(y: Any) -> str:
    """Take the name of a Series, as pandas and polars have it."""
    name = getattr(y, "name", None)
    return name if isinstance(name, str) and name.strip() == name != "" else "target"


def _check_labels(y: Array) -> None:
    """Refuse labels that are missing, or no labels.

    Raises:
        ValueError: as scikit-learn says it.
    """
    if y.dtype == object and any(label is None for label in y):
        raise FitRefused("Input y contains None: every row needs a class.")
    assert_all_finite(y, input_name="y")
    check_classification_targets(y)


def _order(labels: Labels, model: Model) -> list[int]:
    """Find the column of each class in the probabilities of the model."""
    there = [str(label) for label in np.asarray(model.classes_).tolist()]
    return [there.index(str(label)) for label in labels.written]


def _plain(value: Any) -> Any:
    """Replace numbers of NumPy, which users take from arrays and distributions, by those of Python."""
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value.item() if isinstance(value, np.generic) else value
