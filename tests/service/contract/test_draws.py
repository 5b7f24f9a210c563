"""Folds are row for row those of scikit-learn."""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.model_selection import KFold, StratifiedKFold, TimeSeriesSplit

from foldstep.service.contract.draws import folds_in_time, shuffled_folds, stratified_folds

LABELS = st.lists(st.integers(-3, 4), min_size=1, max_size=80).map(lambda labels: np.array(labels, np.int64))


def listed(folds: Callable[[], Iterable[tuple[Any, Any]]]) -> list[tuple[list[int], list[int]]] | None:
    """The positions of every fold; None where there are too few rows."""
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The least populated class")
            return [(train.tolist(), valid.tolist()) for train, valid in folds()]
    except ValueError:
        return None


def state(seed: int) -> np.random.RandomState:
    return np.random.RandomState(np.random.MT19937(np.random.SeedSequence([seed, 1])))


@given(st.integers(1, 60), st.integers(2, 12), st.integers(0, 2**64 - 1))
def test_shuffled_folds(n_rows: int, k: int, seed: int) -> None:
    expected = listed(lambda: KFold(k, shuffle=True, random_state=state(seed)).split(np.arange(n_rows)))
    assert listed(lambda: shuffled_folds(n_rows, k, state(seed))) == expected
    assert (expected is None) == (n_rows < k)


@given(LABELS, st.integers(2, 12), st.integers(0, 2**64 - 1))
def test_folds_in_proportion(labels: Any, k: int, seed: int) -> None:
    splitter = StratifiedKFold(k, shuffle=True, random_state=state(seed))
    expected = listed(lambda: splitter.split(np.zeros(len(labels)), labels))
    assert listed(lambda: stratified_folds(labels, k, state(seed))) == expected


@given(st.integers(1, 60), st.integers(2, 12))
def test_folds_in_time(n_rows: int, k: int) -> None:
    expected = listed(lambda: TimeSeriesSplit(k).split(np.arange(n_rows)))
    assert listed(lambda: folds_in_time(n_rows, k)) == expected


def test_folds_of_a_thousand_classes() -> None:
    labels = np.random.default_rng(0).integers(0, 1000, 20_000)
    expected = listed(lambda: StratifiedKFold(5, shuffle=True, random_state=state(3)).split(labels, labels))
    assert listed(lambda: stratified_folds(labels, 5, state(3))) == expected


@pytest.mark.parametrize("module", ["foldstep.service.data.resolve", "foldstep.worker.__main__"])
def test_a_process_that_draws_folds_does_not_wait_for_scikit_learn(module: str) -> None:
    draw = "from foldstep.service.contract.draws import stratified_folds as f; list(f(n.arange(9) % 2, 3, n.random))"
    code = f"import sys, {module}, numpy as n; {draw}; sys.exit('sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-P", "-c", code], check=False).returncode == 0
