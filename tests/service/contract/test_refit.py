"""How a refit splits the rows: each network leaves out a part of its own, as the search's own validation would."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from foldstep.service.contract.final_spec import RefitSpec
from foldstep.service.contract.folds import make_splits
from foldstep.service.contract.refit import refit_cv
from foldstep.service.contract.spec import CvSpec
from tests.service.contract.test_folds import TABLE
from tests.worker.data.tables import problem_of


@pytest.mark.parametrize(
    ("cv", "share"),
    [
        ({"folds": 5}, 0.1),
        ({"folds": 20, "repeats": 2}, 0.05),
        ({"holdout": 0.3}, 0.1),
        ({"holdout": 0.04}, 0.04),
        ({"folds": 4, "outer": 3}, 0.1),
    ],
)
def test_no_network_sees_fewer_rows_than_those_of_the_folds(cv: dict[str, Any], share: float) -> None:
    found = refit_cv(CvSpec(**cv), RefitSpec(seeds=3))
    assert found.model_dump(exclude_defaults=True) == {"holdout": share, "repeats": 3}


@pytest.mark.parametrize("cv", [{"folds": 5}, {"folds": 5, "group": "group"}, {"folds": 5, "time": "day"}])
def test_inner_parts_keep_groups_whole_and_come_last_in_time(cv: dict[str, Any]) -> None:
    problem = problem_of(cv=cv)
    splits = make_splits(TABLE.columns, problem.data, refit_cv(problem.cv, RefitSpec(seeds=3)), problem.seed)
    assert len(splits.folds) == 3
    inner = [set(valid.tolist()) for _, valid in splits.folds]
    for train, valid in splits.folds:
        assert len(train) + len(valid) == TABLE.n_rows
        assert 18 <= len(valid) <= 40
        if "group" in cv:
            of_row = TABLE.columns["group"].codes  # type: ignore[union-attr]
            assert not set(of_row[train]) & set(of_row[valid])
        if "time" in cv:
            day = TABLE.columns["day"].values  # type: ignore[union-attr]
            assert day[train].max() < day[valid].min()
    assert (inner[0] == inner[1]) == ("time" in cv)
    assert np.isclose(len(inner[0]) / TABLE.n_rows, 0.1, atol=0.1)
