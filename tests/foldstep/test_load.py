"""`foldstep.load`: a model predicts tables in memory as `predict` predicts the file of the same rows."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.csv as pacsv
import pytest

import foldstep
from foldstep.committee import Committee
from foldstep.ensemble import Ensemble
from foldstep.model_file import write_model
from foldstep.prediction import predict_file
from foldstep.service.contract.errors import InvalidInput
from tests.foldstep.portable.networks import mixed_table, train


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("model")


@pytest.fixture(scope="module")
def committee(folder: Path) -> Committee:
    return train(folder, {"class_weight": "balanced"})


@pytest.fixture(scope="module")
def model(folder: Path, committee: Committee) -> foldstep.Model:
    write_model(folder / "m.foldstep", [committee], {"licence": "MIT"}, "")
    return foldstep.load(folder / "m.foldstep")


@pytest.fixture(scope="module")
def new(folder: Path) -> Path:
    (folder / "new.csv").write_text(mixed_table(30, seed=9))
    return folder / "new.csv"


@pytest.fixture(scope="module")
def expected(committee: Committee, new: Path) -> list[Any]:
    return predict_file(Ensemble.load([committee]), new, proba=False).columns["kind"]


def test_what_a_model_tells(model: foldstep.Model) -> None:
    assert model.columns == ["size (m²)", "cost", "tail", "built", "seen", "town", "street", "open"]
    assert model.classes_ is not None
    assert list(model.classes_) == ["a", "b", "c"]
    assert model.card == {"licence": "MIT"}
    assert repr(model) == "<Model of kind: no card>"


def test_every_kind_of_table(model: foldstep.Model, new: Path, expected: list[Any]) -> None:
    from_pandas = pd.read_csv(new, parse_dates=["built", "seen"])
    tables = {
        "pandas": from_pandas,
        "pandas, other order and names as text": from_pandas[from_pandas.columns[::-1]],
        "pandas, categories": from_pandas.astype({"town": "category", "street": "category"}),
        "pandas, text alone": pd.read_csv(new, dtype=str, keep_default_na=False),
        "polars": pl.read_csv(new, try_parse_dates=True),
        "arrow": pacsv.read_csv(new),
        "dict of lists": from_pandas.to_dict(orient="list"),
        "dict of arrays": {name: from_pandas[name].to_numpy() for name in from_pandas},
        "dict, cells of different types": {
            **from_pandas.to_dict(orient="list"),
            "cost": [str(cell) if i % 2 else cell for i, cell in enumerate(from_pandas["cost"])],
        },
        "array": from_pandas[model.columns].to_numpy(),
        "rows": from_pandas[model.columns].to_numpy().tolist(),
    }
    for name, table in tables.items():
        assert model.predict(table).tolist() == expected, name


def test_probabilities_as_predict_says_them(
    model: foldstep.Model, committee: Committee, new: Path, expected: list[Any]
) -> None:
    table = pl.read_csv(new)
    for weighted in (False, True):
        told = predict_file(Ensemble.load([committee]), new, proba=True, weighted=weighted)
        with pytest.warns(foldstep.PredictionWarning, match="weighted the classes"):
            found = model.predict_proba(table, weighted=weighted)
        assert found.T.tolist() == list(told.columns.values())
    assert len(expected) == len(found)


def test_other_types_and_cells_are_told_as_predict_tells_them(
    model: foldstep.Model, committee: Committee, new: Path
) -> None:
    table = pl.read_csv(new, infer_schema=False)
    table = table.with_columns(pl.Series("cost", ["dear"] * 2 + table["cost"].to_list()[2:]))
    table = table.with_columns(pl.Series("town", ["Paris", *table["town"].to_list()[1:]]))
    table.write_csv(new.with_name("odd.csv"))
    told = predict_file(Ensemble.load([committee]), new.with_name("odd.csv"), proba=False)
    with pytest.warns(foldstep.PredictionWarning) as said:
        found = model.predict(table)
    assert [str(one.message) for one in said] == told.notes
    assert "2 cells do not fit" in told.notes[0]
    assert "'Paris'" in told.notes[1]
    assert found.tolist() == told.columns["kind"]


def test_no_rows(model: foldstep.Model, new: Path) -> None:
    with pytest.warns(foldstep.PredictionWarning, match="no rows"):
        assert model.predict(pd.read_csv(new).head(0)).shape == (0,)
    with pytest.warns(foldstep.PredictionWarning):
        assert model.predict_proba([]).shape == (0, 3)


def test_tables_that_cannot_be_used(model: foldstep.Model, new: Path) -> None:
    table = pd.read_csv(new)
    refusals = {
        "lacks columns of the training data: cost": table.rename(columns={"cost": "Cost"}),
        "rows of 8 values": table.to_numpy(),
        "rows of one length": [[1, 2], [1]],
        "columns of one length": {name: [1] * (1 + (name == "cost")) for name in model.columns},
        "different names": pd.concat([table, table], axis=1),
        "reads files": "new.csv",
        "got int": 7,
        "collect a lazy table": pl.scan_csv(new),
        "convert the column": {**table.to_dict(orient="list"), "cost": pa.array([[1]] * len(table))},
        "a list of values in the column cost, got int": {**table.to_dict(orient="list"), "cost": 7},
        "a list of values in the column town, got str": {**table.to_dict(orient="list"), "town": "Ulm"},
        "a list of values in the column tail, got ndarray": {**table.to_dict(orient="list"), "tail": np.ones((30, 2))},
    }
    for words, one in refusals.items():
        with pytest.raises(InvalidInput) as refused:
            model.predict(one)
        assert words in str(refused.value)
        assert "\n" not in str(refused.value)


def test_probabilities_of_numbers_are_refused(tmp_path: Path) -> None:
    committee = train(tmp_path, {}, target="amount")
    write_model(tmp_path / "m.foldstep", [committee], {}, "")
    model = foldstep.load(str(tmp_path / "m.foldstep"))
    (tmp_path / "new.csv").write_text(mixed_table(9, seed=4))
    told = predict_file(Ensemble.load([committee]), tmp_path / "new.csv", proba=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", foldstep.PredictionWarning)
        assert model.predict(pl.read_csv(tmp_path / "new.csv")).tolist() == told.columns["amount"]
    assert model.classes_ is None
    with pytest.raises(InvalidInput, match="amount is a number and has no classes: use predict"):
        model.predict_proba(pl.read_csv(tmp_path / "new.csv"))


def test_a_model_predicts_without_torch_and_pandas(model: foldstep.Model, folder: Path, new: Path) -> None:
    assert model.columns
    code = (
        f"import sys, foldstep, polars; foldstep.load({str(folder / 'm.foldstep')!r})"
        f".predict(polars.read_csv({str(new)!r})); sys.exit(bool({{'torch', 'pandas', 'onnx'}} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
