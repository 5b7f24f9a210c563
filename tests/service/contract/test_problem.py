"""The record of what is to be learned says one thing, and goes over the wire as it is."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from foldstep.service.contract.parse import parse_spec
from foldstep.service.contract.problem import LearningProblem
from tests.worker.data.tables import problem_of


def test_target_and_task_are_those_of_the_data() -> None:
    problem = problem_of()
    for change in ({"target": "x"}, {"task": "regression"}):
        with pytest.raises(ValidationError, match="those of data"):
            LearningProblem.model_validate_json(problem.model_copy(update=change).model_dump_json())


def test_nothing_that_a_search_knows_may_be_left_out() -> None:
    facts = problem_of().model_dump(mode="json")
    for name in facts:
        with pytest.raises(ValidationError):
            LearningProblem.model_validate({n: value for n, value in facts.items() if n != name})
        if name not in ("n_rows", "n_inputs", "n_outputs", "reading", "baseline"):
            with pytest.raises(ValidationError):
                LearningProblem.model_validate({**facts, name: None})


def test_it_is_the_same_on_the_other_side_of_the_wire() -> None:
    problem = problem_of(cv={"folds": 3, "group": "g"}, test={"column": "part"}, seed=2**63 - 1)
    assert LearningProblem.model_validate_json(problem.model_dump_json()) == problem


def test_a_spec_gets_what_it_left_open_and_keeps_the_rest() -> None:
    spec = parse_spec({"name": "t", "data": {"dataset": "d"}, "budget": {"trials": 3}})
    problem = problem_of()
    resolved = problem.resolved(spec)
    assert (resolved.data, resolved.metric) == (problem.data, problem.metric)
    assert resolved.model_copy(update={"data": spec.data, "metric": spec.metric}) == spec
