"""The master counts a network's parameters before it trains; the worker's own networks have as many."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foldstep.models.catalog.preparation import Preparation
from foldstep.models.hyperparameters import resolve
from foldstep.service.contract.features import DATE_PARTS, date_part, date_parts
from foldstep.service.contract.parse import parse_spec
from foldstep.service.data.ingest import ingest
from foldstep.service.data.resolve import resolve_problem
from foldstep.worker.data.inputs import FoldSource
from foldstep.worker.data.load import read_table
from tests.models.fnn import FNN

N = 400
RANDOM = np.random.default_rng(0)
COLUMNS: dict[str, list[Any]] = {
    "number": RANDOM.normal(size=N).tolist(),
    "gaps": [None if i % 5 == 0 else float(i) for i in range(N)],
    "huge": [1e200 if i % 7 == 0 else float(i) for i in range(N)],
    "empty": [None] * N,
    "city": [f"c{i % 30}" for i in range(N)],
    "rare": [f"r{i}" if i in (1, 202) else "often" for i in range(N)],
    "text_gaps": [None if i % 9 == 0 else "ab"[i % 2] for i in range(N)],
    "many": [f"m{i % 100}" for i in range(N)],
    "fold": [float(i % 4) for i in range(N)],
    "left_out": [float(i) for i in range(N)],
    "kind": [f"k{i % 3}" for i in range(N)],
    "amount": RANDOM.normal(size=N).tolist(),
}


@pytest.mark.parametrize("target", ["kind", "amount"])
@pytest.mark.parametrize("params", [{}, {"hidden": [10, 20], "norm": "batch"}, {"depth": 0}, {"norm": "layer"}])
def test_the_count_is_that_of_the_trained_network(tmp_path: Path, target: str, params: dict[str, Any]) -> None:
    pq.write_table(pa.table({n: pa.array(v) for n, v in COLUMNS.items()}), tmp_path / "t.parquet")
    description = ingest(tmp_path / "t.parquet", into=tmp_path)
    data = {"dataset": "t", "target": target, "ignore": ["left_out"]}
    spec = parse_spec({"name": "t", "data": data, "cv": {"column": "fold"}})
    path = tmp_path / f"{description.fingerprint}.parquet"
    problem = resolve_problem(spec, description, path).problem
    fold = FoldSource(read_table(path, problem.fingerprint), problem).fold(0, Preparation("standard"))
    assert problem.n_inputs is not None
    assert problem.n_outputs is not None
    counted = problem.n_inputs, problem.n_outputs
    assert counted == (fold.n_inputs, fold.n_outputs)
    hp = resolve(params)
    trained = sum(p.numel() for p in FNN(hp, *counted).parameters())
    assert hp.n_parameters(*counted) == trained


@given(time=st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31)))
def test_numbers_of_a_date_are_those_of_python(time: datetime) -> None:
    whole = time.replace(microsecond=0, tzinfo=UTC)
    since = whole - datetime(1970, 1, 1, tzinfo=UTC)
    seconds = np.array([since / timedelta(seconds=1), np.nan])
    expected = {
        "days": since / timedelta(days=1), "year": whole.year, "month": whole.month,
        "day_of_year": whole.timetuple().tm_yday, "day_of_week": whole.isoweekday(),
        "hour": whole.hour + whole.minute / 60 + whole.second / 3600,
    }  # fmt: skip
    assert set(expected) == set(DATE_PARTS)
    for part, value in expected.items():
        found = date_part(seconds, part)
        np.testing.assert_allclose(found[0], value, rtol=1e-12, atol=1e-12)
        assert np.isnan(found[1])


def test_the_hour_is_there_only_where_some_date_has_one() -> None:
    days = np.array([-86400.0, 0.0, 86400.0])
    assert date_parts(days) == [part for part in DATE_PARTS if part != "hour"]
    assert date_parts(np.append(days, 1.5)) == list(DATE_PARTS)
