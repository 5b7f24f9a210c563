"""Preprocessing: no statistic of other rows, agreement with scikit-learn, odd columns, exact storage."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, StandardScaler

from foldstep.models.catalog.hyperparameters import REGISTRY
from foldstep.models.catalog.preparation import Preparation
from foldstep.models.columns import MISSING, RARE, UNKNOWN, InputColumns
from foldstep.service.contract.columns import DateColumn
from foldstep.service.contract.features import DATE_PARTS, MAX_CATEGORIES
from foldstep.worker.data.load import Table
from foldstep.worker.data.preprocess import Preprocessor
from foldstep.worker.data.scalers import SCALERS
from tests.worker.data.tables import numbers, table_of, texts

SCALER_NAMES = list(SCALERS)


def rows(n: int, start: int = 0) -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.arange(start, n)


def fit(table: Table, train: Any, scaler: str = "none", **how: Any) -> Preprocessor:
    noise = np.random.Generator(np.random.Philox(key=[5, 0]))
    return Preprocessor.fit(table, train, list(table.columns), Preparation(scaler, **how), noise)


def test_every_scaler_of_the_registry_is_here() -> None:
    assert tuple(SCALERS) == REGISTRY["scaler"].choices


def a_table(seed: int, n: int = 60) -> Table:
    generator = np.random.default_rng(seed)
    gaps = [None if generator.random() < 0.2 else float(v) for v in generator.normal(size=n)]
    words = [None if generator.random() < 0.1 else str(generator.choice(list("aabbbcd"))) for _ in range(n)]
    return table_of(
        normal=numbers(generator.normal(5, 3, n)),
        gaps=numbers(gaps),
        constant=numbers(np.full(n, 7.3)),
        word=texts(words),
    )


def wrecked(table: Table, where: Any) -> Table:
    """The same table with wild values in some rows, and new categories."""
    columns: dict[str, Any] = {}
    wild = [1e300, -1e9, float("inf"), float("nan"), 12345.0]
    for name, column in table.columns.items():
        if hasattr(column, "values"):
            values = column.values.copy()
            values[where] = np.resize(wild, len(where))
            columns[name] = numbers(values)
        else:
            words = [None if c < 0 else column.labels[c] for c in column.codes]
            for i in where:
                words[i] = None if i % 2 else f"new {i}"
            columns[name] = texts(words)
    return Table(columns)


@pytest.mark.parametrize("scaler", SCALER_NAMES)
@given(seed=st.integers(0, 10**6))
def test_no_other_row_reaches_the_training_matrix(scaler: str, seed: int) -> None:
    table = a_table(seed)
    shuffled = np.random.default_rng(seed).permutation(60)
    train, other = np.sort(shuffled[:40]), np.sort(shuffled[40:])
    clean, wild = table, wrecked(table, other)
    before, after = fit(clean, train, scaler), fit(wild, train, scaler)
    assert before.to_json() == after.to_json()
    assert before.transform(clean, train).tobytes() == after.transform(wild, train).tobytes()
    assert np.isfinite(after.transform(wild, other)).all()


@pytest.mark.parametrize("scaler", SCALER_NAMES)
@given(seed=st.integers(0, 10**6))
def test_json_gives_the_same_bits(scaler: str, seed: int) -> None:
    table = a_table(seed)
    fitted = fit(table, rows(40), scaler)
    again = Preprocessor.from_json(json.loads(json.dumps(fitted.to_json())))
    assert again.to_json() == fitted.to_json()
    assert again.transform(table, rows(60)).tobytes() == fitted.transform(table, rows(60)).tobytes()


@pytest.mark.parametrize(
    ("scaler", "oracle"), [("none", None), ("standard", StandardScaler()), ("minmax", MinMaxScaler())]
)
def test_numbers_agree_with_scikit_learn(scaler: str, oracle: Any) -> None:
    generator = np.random.default_rng(3)
    x = generator.normal(size=(100, 4)) * [1, 1e-6, 1e6, 1] + [0, 5, 1e6, 0]
    x[:, 3] = 0.1  # constant, with a mean that rounding moves
    x[generator.random((100, 4)) < 0.1] = np.nan
    table = table_of(**{f"x{i}": numbers(x[:, i]) for i in range(4)})
    imputer = SimpleImputer(strategy="median", add_indicator=True).fit(x[:70])
    expected = imputer.transform(x)
    if oracle is not None:
        expected[:, :4] = oracle.fit(imputer.transform(x[:70])[:, :4]).transform(expected[:, :4])
    actual = fit(table, rows(70), scaler).transform(table, rows(100))
    assert actual.dtype == np.float32
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6)


def test_categories_agree_with_scikit_learn() -> None:
    generator = np.random.default_rng(4)
    words = [str(w) for w in generator.choice(list("abcde"), 300, p=[0.5, 0.3, 0.15, 0.04, 0.01])]
    table = table_of(word=texts(words))
    oracle = OneHotEncoder(min_frequency=2, handle_unknown="infrequent_if_exist", sparse_output=False)
    column = np.array(words)[:, None]
    expected = oracle.fit(column[:200]).transform(column)
    actual = fit(table, rows(200)).transform(table, rows(300))
    assert sorted(map(tuple, actual.T)) == sorted(map(tuple, expected.T))  # the columns' order is another


def test_the_order_of_columns() -> None:
    table = table_of(
        word=texts(["b", "a", "b", None]), gap=numbers([1.0, None, 3.0, 5.0]), full=numbers([9.0, 8.0, 7.0, 6.0])
    )
    matrix = fit(table, rows(4)).transform(table, rows(4))
    assert matrix.tolist() == [  # gap, full, gap is missing, b, a, word is missing
        [1, 9, 0, 1, 0, 0],
        [3, 8, 1, 0, 1, 0],
        [3, 7, 0, 1, 0, 0],
        [5, 6, 0, 0, 0, 1],
    ]
    assert matrix.flags.c_contiguous


def test_rare_unseen_and_missing_categories() -> None:
    words = ["common"] * 950 + [f"rare {i}" for i in range(50)] + ["unseen", None]
    table = table_of(word=texts(words))
    fitted = fit(table, rows(1000))
    assert fitted.transform(table, np.array([0, 960, 1000, 1001])).tolist() == [[1, 0], [0, 1], [0, 1], [0, 1]]
    without_rare = fit(table, rows(950))
    assert without_rare.transform(table, np.array([0, 960, 1001])).tolist() == [[1], [0], [0]]


def test_small_data_keep_their_rare_categories() -> None:
    table = table_of(word=texts(["a"] * 30 + ["b", "c"]))
    assert fit(table, rows(32)).transform(table, np.array([30, 31])).tolist() == [[0, 1, 0], [0, 0, 1]]


def test_very_many_categories_share_one_column() -> None:
    words = [f"w{i % 100:02d}" for i in range(2000)] + ["w99"] * 20
    table = table_of(word=texts(words))
    matrix = fit(table, rows(2020)).transform(table, rows(2020))
    assert matrix.shape[1] == MAX_CATEGORIES + 1
    assert (matrix.sum(axis=1) == 1).all()
    assert matrix[-1, 0] == 1  # the most frequent comes first
    assert matrix[:, -1].sum() == 20 * (100 - MAX_CATEGORIES)


ODD: dict[str, tuple[list[float | None], list[list[float]]]] = {
    "infinite values are missing": ([1.0, float("inf"), 3.0, float("-inf")], [[1, 0], [2, 1], [3, 0], [2, 1]]),
    "values too great to square are missing": ([1.0, 1e200, 3.0, -1e200], [[1, 0], [2, 1], [3, 0], [2, 1]]),
    "a column without values is left out": ([None] * 4, [[], [], [], []]),
    "great values are clipped": ([1e100, 2.0, 3.0, -1e100], [[3.4028235e38], [2], [3], [-3.4028235e38]]),
}


@pytest.mark.parametrize(("values", "expected"), ODD.values(), ids=ODD)
def test_odd_numbers(values: list[float | None], expected: list[list[float]]) -> None:
    table = table_of(x=numbers(values))
    np.testing.assert_allclose(fit(table, rows(4)).transform(table, rows(4)), expected)


@pytest.mark.parametrize("scaler", SCALER_NAMES)
def test_odd_tables_stay_finite(scaler: str) -> None:
    table = table_of(
        constant=numbers([5.0] * 6),
        huge=numbers([1e149, -1e149, 1e149, 0, 0, 0]),
        tiny=numbers([5e-324, 0, 0, 0, 0, 0]),
        gone=numbers([None] * 3 + [1.0] * 3),
        infinite=numbers([float("inf")] * 6),
        empty=texts([None] * 6),
    )
    matrix = fit(table, rows(3), scaler).transform(table, rows(6))
    assert matrix.shape == (6, 3 + 1)  # and the missing flag of the empty text
    assert np.isfinite(matrix).all()


def test_no_features_and_a_single_row() -> None:
    assert fit(table_of(), rows(3), "standard").transform(table_of(), rows(3)).shape == (3, 0)
    table = table_of(x=numbers([1.0, 2.0]), w=texts(["a", "b"]))
    for scaler in SCALER_NAMES:
        assert np.isfinite(fit(table, rows(1), scaler).transform(table, rows(2))).all()


def test_a_changed_kind_is_refused() -> None:
    fitted = fit(table_of(x=numbers([1.0, 2.0]), w=texts(["a", "b"])), rows(2))
    with pytest.raises(TypeError, match=r"numbers in the column 'x'"):
        fitted.transform(table_of(x=texts(["a", "b"]), w=texts(["a", "b"])), rows(2))
    with pytest.raises(TypeError, match=r"text in the column 'w'"):
        fitted.transform(table_of(x=numbers([1.0, 2.0]), w=numbers([1.0, 2.0])), rows(2))


def dates(*times: datetime | None) -> DateColumn:
    return DateColumn(np.array([np.nan if t is None else t.replace(tzinfo=UTC).timestamp() for t in times]))


TIMES = (datetime(1969, 7, 20, 20, 17), datetime(2024, 2, 29), datetime(2000, 1, 1, 12), None, datetime(1900, 12, 31))


def test_dates_become_their_numbers_with_one_flag() -> None:
    table = table_of(d=dates(*TIMES))
    preprocessor = fit(table, rows(len(TIMES)))
    matrix = preprocessor.transform(table, rows(len(TIMES)))
    assert [c.part for c in preprocessor.numbers] == list(DATE_PARTS)
    assert [c.flagged for c in preprocessor.numbers] == [True] + [False] * (len(DATE_PARTS) - 1)
    by_part = dict(zip(DATE_PARTS, matrix.T, strict=False))
    assert by_part["year"][[0, 1, 2, 4]].tolist() == [1969, 2024, 2000, 1900]
    assert by_part["month"][[0, 1, 2, 4]].tolist() == [7, 2, 1, 12]
    assert by_part["day_of_week"][[0, 1, 2, 4]].tolist() == [7, 4, 6, 1]
    assert by_part["day_of_year"][[0, 1, 2, 4]].tolist() == [201, 60, 1, 365]
    assert by_part["hour"][[1, 2]].tolist() == [0, 12]
    assert matrix[:, -1].tolist() == [0, 0, 0, 1, 0]
    assert matrix[3, 1] == np.median([1969, 2024, 2000, 1900])
    assert np.isfinite(matrix).all()


def test_dates_come_back_from_json_and_refuse_numbers() -> None:
    table = table_of(d=dates(*TIMES))
    preprocessor = fit(table, rows(len(TIMES)), "standard")
    again = Preprocessor.from_json(json.loads(json.dumps(preprocessor.to_json())))
    np.testing.assert_array_equal(again.transform(table, rows(5)), preprocessor.transform(table, rows(5)))
    with pytest.raises(TypeError, match="expected dates in the column 'd'"):
        preprocessor.transform(table_of(d=numbers([1.0])), rows(1))


FRUIT = ["apple"] * 6 + ["fig"] * 4 + ["kiwi"] * 3 + ["plum", "pear"] + [None]


def test_many_categories_become_one_column_of_codes_after_all_others() -> None:
    table = table_of(fruit=texts([*FRUIT, "mango"]), size=numbers(range(17)), word=texts(["a", "b"] * 8 + ["a"]))
    fitted = fit(table, rows(16), max_one_hot=2, category_min_count=2)
    matrix = fitted.transform(table, rows(17))
    assert fitted.columns == InputColumns(n_values=(16,), flags=(), one_hot=(2,), codes=(6,))
    assert matrix.shape[1] == fitted.columns.n_inputs == 4
    assert matrix[:, 3].tolist() == [3] * 6 + [4] * 4 + [5] * 3 + [RARE, RARE, MISSING, UNKNOWN]
    again = Preprocessor.from_json(json.loads(json.dumps(fitted.to_json())))
    assert again == replace(fitted, scaling=again.scaling)
    assert again.transform(table, rows(17)).tobytes() == matrix.tobytes()


def test_at_most_so_many_categories_stay_one_hot() -> None:
    table = table_of(fruit=texts(FRUIT))
    assert fit(table, rows(16), max_one_hot=3, category_min_count=2).columns.one_hot == (5,)  # three, rare, missing
    assert fit(table, rows(16), max_one_hot=2, category_min_count=2).columns.one_hot == ()
    assert fit(table, rows(16), max_one_hot=3, category_min_count=1).columns.codes == (3 + 5,)


def test_codes_have_no_greatest_number() -> None:
    table = table_of(word=texts([f"w{i % 300}" for i in range(900)]))
    assert fit(table, rows(900), max_one_hot=9, category_min_count=3).columns.codes == (303,)


def test_with_a_least_count_rare_unknown_and_missing_are_apart() -> None:
    table = table_of(fruit=texts([*FRUIT, "mango"]))
    matrix = fit(table, rows(16), category_min_count=4).transform(table, rows(17))
    expected = [[1, 0, 0, 0]] * 6 + [[0, 1, 0, 0]] * 4 + [[0, 0, 1, 0]] * 5 + [[0, 0, 0, 1], [0, 0, 0, 0]]
    assert matrix.tolist() == expected  # apple, fig, rare, missing; mango is none of them


def test_noise_changes_the_quantiles_and_nothing_else() -> None:
    table = a_table(3)
    plain, noisy = (fit(table, rows(60), "quantile", quantile_noise=n) for n in (0.0, 0.01))
    assert plain.numbers == noisy.numbers
    assert plain.columns == noisy.columns
    assert not np.array_equal(plain.scaling["quantiles"][0], noisy.scaling["quantiles"][0])
    np.testing.assert_allclose(plain.scaling["quantiles"][0], noisy.scaling["quantiles"][0], atol=0.2)
    assert np.array_equal(plain.scaling["quantiles"][2], noisy.scaling["quantiles"][2]), "a constant column stays"
    again = fit(table, rows(60), "quantile", quantile_noise=0.01)
    assert again.to_json() == noisy.to_json()


def test_different_values_are_counted_in_the_training_part() -> None:
    table = table_of(two=numbers([0.0, 1.0] * 10), many=numbers(range(20)), gap=numbers([None, 1.0] * 9 + [2.0, 3.0]))
    assert fit(table, rows(10)).columns == InputColumns(n_values=(2, 10, 1), flags=(2,))


def test_a_file_of_an_earlier_version_has_no_counts() -> None:
    table = a_table(3)
    raw = fit(table, rows(60)).to_json()
    del raw["n_values"]
    columns = Preprocessor.from_json(raw).columns
    assert columns.n_values == (0, 0, 0)
    assert columns.n_inputs == fit(table, rows(60)).columns.n_inputs
