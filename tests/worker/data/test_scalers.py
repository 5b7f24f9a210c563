"""The scalers against scikit-learn, on odd columns, and what each of them promises."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, QuantileTransformer, RobustScaler, StandardScaler

from foldstep.models.catalog import hyperparameters
from foldstep.worker.data.scalers import SCALERS, Matrix, State

UNITS = np.array([1.0, 1e-3, 1e6, 20.0])


def scaled(name: str, train: Matrix, x: Matrix) -> Matrix:
    return SCALERS[name].apply(x, SCALERS[name].fit(train))


def a_matrix(seed: int, n: int = 300) -> Matrix:
    """Correlated and skewed columns of different units."""
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(n, 4)) @ generator.normal(size=(4, 4))
    x[:, 3] = np.exp(x[:, 3] / 3)
    return np.asarray(x * UNITS + UNITS * generator.normal(size=4))


def realmlp_inputs(train: Matrix, x: Matrix) -> Matrix:
    """RealMLP's preprocessing of numbers, written from appendix A of its paper, column by column."""
    columns = []
    for fitted, values in zip(train.T, x.T, strict=True):
        first, median, third = np.quantile(fitted, [0.25, 0.5, 0.75])
        if third > first:
            factor = 1 / (third - first)
        elif fitted.max() > fitted.min():
            factor = 2 / (fitted.max() - fitted.min())
        else:
            factor = 0.0
        z = factor * (values - median)
        columns.append(z / np.sqrt(1 + (z / 3) ** 2))
    return np.column_stack(columns)


def without_signs(x: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return x * np.sign(x[0])


ORACLES: dict[str, Any] = {
    "center": StandardScaler(with_std=False),
    "standard": StandardScaler(),
    "minmax": MinMaxScaler(),
    "robust": RobustScaler(),
    "quantile": QuantileTransformer(n_quantiles=200, output_distribution="normal"),
    "whiten": make_pipeline(StandardScaler(), PCA(whiten=True)),
}


@pytest.mark.parametrize("name", ORACLES)
@given(seed=st.integers(0, 10**6))
def test_agrees_with_scikit_learn(name: str, seed: int) -> None:
    x = a_matrix(seed)
    train = x[:200]
    actual, expected = scaled(name, train, x), ORACLES[name].fit(train).transform(x)
    if name == "whiten":
        actual, expected = without_signs(actual), without_signs(expected)
    size = np.abs(expected).max(axis=0)
    np.testing.assert_allclose(actual / size, expected / size, atol=1e-7)


@pytest.mark.parametrize("n", [1000, 1001, 3001])
def test_there_are_at_most_a_thousand_quantiles(n: int) -> None:
    train = a_matrix(1, n)
    oracle = QuantileTransformer(n_quantiles=1000, output_distribution="normal", subsample=None).fit(train)
    assert SCALERS["quantile"].fit(train)["quantiles"].shape == (4, 1000)
    np.testing.assert_allclose(scaled("quantile", train, train), oracle.transform(train), atol=1e-6)


def test_quantiles_of_repeated_values() -> None:
    train = np.repeat([0.0, 1.0, 2.0, 5.0], [30, 40, 20, 10])[:, None]
    x = np.array([-3.0, 0.0, 0.5, 1.0, 1.5, 2.0, 5.0, 9.0])[:, None]
    oracle = QuantileTransformer(n_quantiles=100, output_distribution="normal").fit(train)
    np.testing.assert_allclose(scaled("quantile", train, x), oracle.transform(x), atol=1e-12)


def test_the_unit_of_a_column_does_not_change_its_quantiles() -> None:
    x = a_matrix(2)
    np.testing.assert_allclose(scaled("quantile", x, x), scaled("quantile", x * 1e-9, x * 1e-9), atol=1e-9)


def test_whitened_columns_are_uncorrelated_in_any_unit() -> None:
    x = a_matrix(3)
    for unit in (1.0, 1e-7, 1e7):
        covariance = np.cov(scaled("whiten", x * [1, unit, 1, 1], x * [1, unit, 1, 1]), rowvar=False)
        np.testing.assert_allclose(covariance, np.eye(4), atol=1e-8)


def test_collinear_columns_do_not_blow_up() -> None:
    x = a_matrix(4)
    x = np.column_stack([x, 3 * x[:, 0] + 1, x[:, 1] - x[:, 1]])
    actual = scaled("whiten", x[:200], x)
    np.testing.assert_allclose(actual[:, -2:], 0, atol=1e-6)
    np.testing.assert_allclose(np.cov(actual[:200, :-2], rowvar=False), np.eye(4), atol=1e-8)
    apart = x.copy()
    apart[:, 4] += x[:, 0].std()  # outside the training part the columns need not be collinear
    assert np.abs(scaled("whiten", x[:200], apart)).max() < 1e3


@given(seed=st.integers(0, 10**6))
def test_signs_do_not_hang_on_rounding(seed: int) -> None:
    # two standardised columns have components whose entries are all of one size
    x = a_matrix(seed)[:, :2]
    reordered = np.random.default_rng(seed).permutation(len(x))
    np.testing.assert_allclose(scaled("whiten", x, x), scaled("whiten", x[reordered], x), atol=1e-6)


def test_every_name_of_a_scaler_has_one() -> None:
    assert set(SCALERS) == set(hyperparameters.SCALERS)


@pytest.mark.parametrize("name", [name for name in SCALERS if name != "none"])
@pytest.mark.parametrize("value", [0.0, 0.1, -7e9, 1e-12])
def test_a_constant_column_becomes_zero(name: str, value: float) -> None:
    x = a_matrix(5)
    x[:, 1] = value
    actual = scaled(name, x, x)
    zero = actual[:, -1] if name == "whiten" else actual[:, 1]
    np.testing.assert_allclose(zero, 0, atol=1e-11 + 1e-15 * abs(value))


def test_whitening_ignores_a_column_that_was_constant() -> None:
    x = a_matrix(5)
    x[:, 1] = 4.0
    new = x + np.array([0.0, 1.0, 0.0, 0.0])
    assert scaled("whiten", x, new).tobytes() == scaled("whiten", x, x).tobytes()


@pytest.mark.parametrize("name", SCALERS)
def test_no_columns_and_one_row(name: str) -> None:
    for shape in ((5, 0), (1, 3), (1, 0)):
        x = np.full(shape, 2.0)
        state: State = {k: np.array(v) for k, v in _through_json(SCALERS[name].fit(x)).items()}
        assert SCALERS[name].apply(x, state).shape == shape


@pytest.mark.parametrize("name", SCALERS)
@given(seed=st.integers(0, 10**6))
def test_a_state_from_json_gives_the_same_bits(name: str, seed: int) -> None:
    x = a_matrix(seed, 50)
    state = SCALERS[name].fit(x)
    again: State = {k: np.array(v) for k, v in _through_json(state).items()}
    assert SCALERS[name].apply(x, again).tobytes() == SCALERS[name].apply(x, state).tobytes()


def _through_json(state: State) -> dict[str, Any]:
    raw: dict[str, Any] = json.loads(json.dumps({k: v.tolist() for k, v in state.items()}, allow_nan=False))
    return raw


@given(seed=st.integers(0, 10**6))
def test_robust_clip_is_realmlp_s(seed: int) -> None:
    x = np.column_stack([a_matrix(seed), np.arange(300) % 10 == 0, np.full(300, 0.1)])
    train = x[:200]
    actual = scaled("robust_clip", train, x)
    np.testing.assert_allclose(actual, realmlp_inputs(train, x), rtol=1e-12, atol=1e-12)
    assert np.abs(actual).max() < 3
    assert set(np.round(actual[:, 4] ** 2, 3)) == {0.0, round(4 / (1 + 4 / 9), 3)}, (
        "half the range, as no quartile differs"
    )
    assert (actual[:, 5] == 0).all()


def test_robust_clip_holds_what_is_far_out() -> None:
    train = np.array([[0.0], [1.0], [2.0], [3.0]])
    assert scaled("robust_clip", train, np.array([[1e300], [-1e300]])).ravel().tolist() == [3.0, -3.0]
