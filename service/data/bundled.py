"""scikit-learn's bundled data sets as arrow tables."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa
from sklearn import datasets

from foldstep.service.data.sources import BUNDLED_TARGET

_LOADERS: dict[str, Callable[[], Any]] = {
    "digits": datasets.load_digits,
    "iris": datasets.load_iris,
    "wine": datasets.load_wine,
    "breast_cancer": datasets.load_breast_cancer,
    "diabetes": datasets.load_diabetes,
}


def load_bundled(name: str) -> pa.Table:
    """Load a bundled set: features under scikit-learn's names and the target as `target`, all of them numbers.

    Raises:
        KeyError: there is no such set.
    """
    bunch = _LOADERS[name]()
    columns = {str(feature): bunch.data[:, i] for i, feature in enumerate(bunch.feature_names)}
    return pa.table({**columns, BUNDLED_TARGET: bunch.target.astype(float)})
