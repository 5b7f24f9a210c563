"""What a worker saw of a fold comes back as it was, from both databases; a worker that saw nothing is no fault."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from sqlalchemy import update

from foldstep.service.contract.diagnostics import Diagnostics, rounded
from foldstep.service.contract.errors import InvalidInput, NotFound
from foldstep.service.contract.report import FoldResult, TrialResult
from foldstep.service.db import scores, searches, tables
from foldstep.service.db.types import Numbers
from foldstep.service.flow.context import Context
from foldstep.service.flow.diagnostics import diagnostics
from tests.service.scenes import Hand, new_search, result

VALUES = st.none() | st.floats(1e-30, 1e30).map(rounded) | st.floats(-1e30, -1e-30).map(rounded) | st.just(0.0)


@st.composite
def seen(draw: st.DrawFn) -> Diagnostics:
    depth = draw(st.integers(0, 3))
    numbers = st.lists(VALUES, min_size=5 + 5 * depth, max_size=5 + 5 * depth)
    epochs = draw(st.lists(st.integers(1, 1_000_000), max_size=4))
    probes = [[float(epoch), *draw(numbers)] for epoch in epochs]
    return Diagnostics(valid_loss=draw(st.lists(VALUES, max_size=5)), probes=probes)


@given(seen=seen())
def test_the_column_holds_all_digits_that_travel(seen: Diagnostics) -> None:
    column = Numbers("f")
    stored = column.process_bind_param(seen.flat(), None)  # type: ignore[arg-type]
    assert len(stored or b"") == 4 * len(seen.flat())
    assert Diagnostics.from_flat(column.process_result_value(stored, None) or []) == seen  # type: ignore[arg-type]
    assert Diagnostics.model_validate_json(seen.model_dump_json()) == seen


@pytest.mark.parametrize("probe", [[1.0] * 5, [1.0] * 12, [None] * 6])
def test_numbers_that_are_no_probe_are_refused(probe: list[float | None]) -> None:
    with pytest.raises(ValidationError, match="expected an epoch"):
        Diagnostics(valid_loss=[], probes=[probe])


PROBE = [3.0, 2.5, 0.4, 0.75, 1.099, 1e-3, 2e-3, 0.1, 0.9, None, 0.25]


def with_diagnostics(trial: int) -> TrialResult:
    plain = result(trial)
    own = Diagnostics(valid_loss=[0.9, 0.8, 0.65], probes=[PROBE])
    return plain.model_copy(update={"folds": [plain.folds[0].model_copy(update={"diagnostics": own}), plain.folds[1]]})


def test_what_was_reported_is_shown(context: Context) -> None:
    search = new_search(context)
    hand = Hand(context)
    held = hand.take()
    (first, second, *_) = [t.number for t in held.trials] if len(held.trials) > 1 else (0, 1)
    hand.report(held, with_diagnostics(first))
    shown = diagnostics(context, search, first)
    fold = shown.folds[0]
    assert fold.valid_loss == [0.9, 0.8, 0.65]
    (probe,) = fold.probes
    assert (probe.epoch, probe.gradient_norm, probe.train_score) == (3, 2.5, 0.75)
    assert [layer.update_ratio for layer in probe.layers] == [2e-3, 1e-3]
    assert (probe.layers[0].dead, probe.layers[0].saturated, probe.layers[1].dead) == (0.25, None, None)
    assert fold.gap == [pytest.approx(0.25)]
    assert (shown.folds[1].valid_loss, shown.folds[1].probes) == ([], [])
    assert [d.kind for d in shown.diagnoses]
    with context.database.read() as connection:
        assert scores.results(connection, search, first)[0].diagnostics == with_diagnostics(first).folds[0].diagnostics
    assert diagnostics(context, search, second).folds == {}
    assert diagnostics(context, search, second).diagnoses == []
    with pytest.raises(NotFound):
        diagnostics(context, search, 10**6)


def test_a_result_of_before_is_read() -> None:
    fold = json.loads(result(0).folds[0].model_dump_json())
    del fold["diagnostics"]
    assert FoldResult.model_validate(fold).diagnostics is None


def of_targets(trial: int, *own: list[float | None]) -> TrialResult:
    plain = result(trial)
    folds = [fold.model_copy(update={"target_scores": scores}) for fold, scores in zip(plain.folds, own, strict=True)]
    return plain.model_copy(update={"folds": folds})


def test_the_scores_of_each_target_come_back_and_must_be_one_for_each(context: Context) -> None:
    search = new_search(context)
    with context.database.write() as connection:
        problem = searches.get(connection, search).problem
        data = problem.data.model_copy(update={"target": ["a", "b"]})
        text = problem.model_copy(update={"target": ["a", "b"], "data": data}).model_dump_json()
        connection.execute(update(tables.searches).values(problem=text))
    hand = Hand(context)
    held = hand.take()
    trial = held.trials[0].number
    with pytest.raises(InvalidInput) as refused:
        hand.report(held, of_targets(trial, [0.1], [0.5, 0.7]))
    (fault,) = refused.value.faults
    assert (fault.code, fault.path) == ("bad_result", f"results.{trial}.folds.0.target_scores")
    hand.report(held, of_targets(trial, [0.25, None], []))
    shown = diagnostics(context, search, trial)
    assert shown.targets == ["a", "b"]
    assert [shown.folds[fold].target_scores for fold in (0, 1)] == [[0.25, None], []]
