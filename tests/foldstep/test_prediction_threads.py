"""Predictions of many rows: in threads, with the same bits for any number of them; inputs are made once where equal."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from foldstep.committee import Committee
from foldstep.ensemble import Ensemble
from foldstep.prediction_tables import read_tables
from foldstep.threads import _libraries, _limit, in_threads
from foldstep.worker.data.load import Table
from foldstep.worker.predictor import ROWS_AT_ONCE
from tests.foldstep.portable.networks import mixed_table, train

WIDE = {"hidden": [128, 128], "epochs": 1}
CODE = """
import hashlib, pathlib, sys
from foldstep.committee import Committee
from foldstep.ensemble import Ensemble
from foldstep.prediction_tables import read_tables
from foldstep.threads import _libraries
ensemble = Ensemble.load([Committee(1.0, [pathlib.Path(file) for file in sys.argv[2:]])])
outputs = ensemble.outputs(read_tables(ensemble, pathlib.Path(sys.argv[1])))
print(max(one["num_threads"] for one in _libraries().info()), hashlib.sha256(outputs.tobytes()).hexdigest())
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("threads")


@pytest.fixture(scope="module")
def committee(folder: Path) -> Committee:
    return train(folder, WIDE)


@pytest.fixture(scope="module")
def new(folder: Path) -> Path:
    (folder / "new.csv").write_text(mixed_table(2 * ROWS_AT_ONCE + 700, seed=9))
    return folder / "new.csv"


def test_the_bits_do_not_depend_on_the_number_of_threads(committee: Committee, new: Path) -> None:
    said = []
    for n_threads in ("1", "2", "3"):
        done = subprocess.run(
            [sys.executable, "-c", CODE, str(new), *map(str, committee.checkpoints)],
            env={"PYTHONPATH": ":".join(sys.path), "OPENBLAS_NUM_THREADS": n_threads}, capture_output=True, text=True,
            check=True,
        )  # fmt: skip
        said.append(done.stdout.split())
    assert int(said[0][0]) == 1
    assert len({digest for _, digest in said}) == 1


def test_many_rows_are_predicted_as_few_are(committee: Committee, new: Path) -> None:
    ensemble = Ensemble.load([committee])
    tables = read_tables(ensemble, new)
    outputs = ensemble.outputs(tables)
    each = [p.outputs(Table(tables[p.reading].columns)) for p in ensemble.predictors]
    assert outputs.shape == (2 * ROWS_AT_ONCE + 700, 3)
    assert np.allclose(outputs, (each[0] + each[1]) / 2, atol=1e-6)  # products in threads may round otherwise
    head, *lines = new.read_text().splitlines()
    few = new.with_name("few.csv")
    few.write_text("\n".join([head, *lines[-30:]]) + "\n")
    assert np.allclose(ensemble.outputs(read_tables(ensemble, few)), outputs[-30:], atol=1e-6)


def test_networks_with_equal_preprocessing_share_their_inputs(committee: Committee, new: Path, tmp_path: Path) -> None:
    (tmp_path / "same").mkdir()
    (tmp_path / "other").mkdir()
    same = train(tmp_path / "same", {**WIDE, "hidden": [16]})
    other = train(tmp_path / "other", {**WIDE, "scaler": "quantile"})
    ensemble = Ensemble.load([committee, same, other])
    assert ensemble._first_alike == [0, 1, 0, 1, 4, 5]
    tables = read_tables(ensemble, new)
    alone = [Ensemble.load([one]).outputs(tables) for one in (committee, same, other)]
    assert np.array_equal(ensemble.outputs(tables), (alone[0] + alone[1] + alone[2]) / 3)


def products() -> int:
    return max(one["num_threads"] for one in _libraries().info())


def test_the_limit_ends_with_the_last_one_who_predicts() -> None:
    before = products()
    assert in_threads(lambda i: (i, products()), [1, 2]) == [(1, 1), (2, 1)]
    assert _limit.enter() == before
    assert _limit.enter() == before  # another thread, before the first one has ended
    _limit.leave()
    assert products() == 1
    _limit.leave()
    assert products() == before


def test_a_failure_ends_the_limit_too() -> None:
    before = products()
    with pytest.raises(ZeroDivisionError):
        in_threads(lambda i: 1 / i, [1, 0])
    assert products() == before
