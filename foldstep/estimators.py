"""Estimators of scikit-learn: a search behind `fit`, its ensemble behind `predict`.

    from foldstep import FoldstepClassifier
    model = FoldstepClassifier(time_limit=60).fit(X, y)
    model.predict_proba(X)

`fit` writes the table into a file, submits a search to a service that this process keeps, and takes the ensemble home
as the bytes of a model file. So a pickle of an estimator holds safetensors and JSON, and no code.
"""

from __future__ import annotations

import warnings
from os import PathLike
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.utils import assert_all_finite, column_or_1d
from sklearn.utils.multiclass import check_classification_targets

from foldstep.estimator_base import Array, Estimator
from foldstep.estimator_input import Labels
from foldstep.loaded import Model
from foldstep.service.contract.errors import FitRefused


class FoldstepClassifier(ClassifierMixin, Estimator):  # type: ignore[misc]
    """A classifier: a search for networks, and the ensemble of the best of them.

    Args:
        time_limit: how long to search, in seconds or as "2m".
        n_trials: how many trials to search, in place of a time.
        metric: that trials are ranked by, by Foldstep's names; None for one that suits the table.
        parameters: the space, as a spec has it; None for the default space of the table's size.
        cv: number of folds, or the `cv` of a spec; None for one that suits the table.
        final: what becomes of the trials, as a spec has it: ensemble, calibration, threshold, refit; None for the
            defaults. `fit` waits for a search that follows, which `time_limit` does not count.
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
        labels, rows = Labels.of(classes), codes if weight is None else codes[weight > 0]
        written = np.array(labels.written)[np.minimum(codes, len(classes) - 1)]  # rows without weight have any class
        self._fit(X, written, weight, name, int(np.bincount(rows).min()))
        self.classes_ = classes
        self._order = _order(labels, self.model_)
        self._is_coded = labels.is_coded
        return self

    def save(self, path: str | PathLike[str]) -> None:
        """Write the model file, as `FoldstepRegressor.save` does; warn where it calls the classes by their numbers."""
        super().save(path)
        if self._is_coded:
            warnings.warn(
                f"In {path} the classes are called {', '.join(map(str, range(len(self.classes_))))[:80]}, in the order "
                "of classes_: their own names would not be read as they are. Words and whole numbers keep their names.",
                UserWarning,
                stacklevel=2,
            )

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
        shares: npt.NDArray[np.float64] = self.model_.predict_proba(self._checked(X))
        return shares[:, self._order]

    def predict(self, X: Any) -> Array:
        """Predict classes; arguments as `predict_proba`.

        That is the most probable one of each row as training weighted them, or what `final.threshold` gives.

        Returns:
            (rows,), of the type of `classes_`.

        Raises:
            NotFittedError: nothing was fitted.
            ValueError: X has other features than that of `fit`.
        """
        there = np.asarray(self.model_.classes_).tolist()
        numbers = {there[column]: number for number, column in enumerate(self._order)}
        said = self.model_.predict(self._checked(X)).tolist()
        found: Array = self.classes_[[numbers.get(label, 0) for label in said]]  # the first one where there is none
        return found


class FoldstepRegressor(RegressorMixin, Estimator):  # type: ignore[misc]
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
