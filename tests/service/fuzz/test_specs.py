"""Specs of any kind, in YAML, in JSON and as values: a spec, or a refusal in words that is not long."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from foldstep.models.catalog.hyperparameters import REGISTRY
from foldstep.service.contract.document import Document, load_document
from foldstep.service.contract.errors import MAX_FAULTS, SpecInvalid
from foldstep.service.contract.parse import parse_spec
from foldstep.service.contract.spec import Spec

FUZZ = settings(max_examples=150, deadline=None, derandomize=True, database=None,
                suppress_health_check=list(HealthCheck))  # fmt: skip
SPEC: dict[str, Any] = {
    "name": "a", "method": "random", "data": {"dataset": "wine", "types": {"a": "number"}, "missing": [-9]},
    "cv": {"folds": 3}, "metric": "accuracy", "budget": {"trials": 5, "time": "10m"},
    "stages": [{"epochs": 1, "trials": 2}], "early_stop": {"eta": 3},
    "parameters": {
        "lr": {"low": 1e-4, "high": 1e-1, "log": True}, "hidden": [[8], [8, 8]], "optimizer": ["adam", "sgd"],
        "momentum": {"choices": [0.5, 0.9], "when": {"optimizer": "sgd"}},
        "weight_decay": {"low": 1e-6, "high": 0.1, "step": 1e-3, "or": [0]},
    },
}  # fmt: skip
KEYS = [
    *SPEC, *REGISTRY, *SPEC["data"], "low", "high", "step", "or", "when", "choices", "values", "value", "distribution",
    "<<", "", "a.b", "0", "checks", "border", "seed", "batch", "warm_start", "checkpoints", "space", "final",
]  # fmt: skip
WORDS = [
    "1e-4", "1_000", "0x10", "yes", "~", ".nan", "inf", "NaN", "2024-13-45", "10m", "9" * 400, "é", "\0", "\ud800",
    "*a", "grid", "tpe", "coarse_to_fine", "adam", "balanced", "none",
]  # fmt: skip
PIECES = ["", "*x", "&x ", "!!set ", "<<: ", "{", "]", "\n", "\t", ": ", "- ", '"', "\ud800", "9" * 50]
leaves = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from([10**400, -1, 0, 2**63, 2**31])
    | st.text(max_size=20) | st.sampled_from(WORDS)
)  # fmt: skip
keys = st.sampled_from(KEYS) | st.text(max_size=5)
values = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4), max_leaves=12
)


def check(raw: Any) -> None:
    """Parse, and accept a spec or a refusal that can be sent."""
    found = refused_or(parse_spec, raw)
    if isinstance(found, SpecInvalid):
        assert len(json.dumps(found.problem()).encode()) < 300_000
        assert 0 < len(found.faults) <= MAX_FAULTS
        assert all(f.expected for f in found.faults)
    else:
        assert isinstance(found, Spec)


def refused_or(function: Callable[[Any], Any], argument: Any) -> Any:
    """Call a function, and return its result or its refusal."""
    try:
        return function(argument)
    except SpecInvalid as refused:
        return refused


@FUZZ
@given(values)
def test_any_value_is_no_fault_of_the_parser(value: Any) -> None:
    check(value)


@FUZZ
@given(st.sampled_from(list(SPEC)), values)
def test_any_part_of_a_spec_may_be_anything(part: str, value: Any) -> None:
    check({**SPEC, part: value})


@FUZZ
@given(st.sampled_from(list(REGISTRY)), values, st.sampled_from(["random", "grid", "tpe", "coarse_to_fine"]))
@example("lr", {"low": 5e-324, "high": 1e308, "step": 5e-324}, "grid")
@example("batch_size", {"low": 1, "high": 2**31 - 1, "step": 1}, "grid")
@example("class_weight", {"value": {"a": 1e308, "b": 5e-324}}, "tpe")
def test_any_distribution_may_be_anything(name: str, value: Any, method: str) -> None:
    check({**SPEC, "method": method, "stages": [], "parameters": {name: value}})


def read(text: str) -> Document | None:
    found = refused_or(load_document, text)
    if isinstance(found, SpecInvalid):
        assert len(found.message) < 100_000
        return None
    assert isinstance(found, Document)
    return found


@FUZZ
@given(st.text(max_size=200) | st.text(st.sampled_from("{}[],:-?&*!|>'\"%@`#~<= \n\tab01.é\0\x85\ufeff"), max_size=120))
@example("? &a [*a]\n: *a")
@example("&a {<<: *a}")
@example("!!merge <<: {a: 1}")
@example("%YAML 9.9\n--- a")
@example("a: !<tag:yaml.org,2002:int> 0x")
def test_any_text_is_read_or_refused(text: str) -> None:
    document = read(text)
    if document is not None:
        check(document.value)


@FUZZ
@given(st.data())
def test_a_spec_that_was_damaged_is_read_or_refused(data: st.DataObject) -> None:
    text = yaml.safe_dump(SPEC) if data.draw(st.booleans()) else json.dumps(SPEC)
    for _ in range(data.draw(st.integers(1, 4))):
        at, n = data.draw(st.integers(0, len(text))), data.draw(st.integers(0, 10))
        new = data.draw(st.sampled_from(PIECES))
        text = text[:at] + new + text[at + n :]
    document = read(text)
    if document is not None:
        check(document.value)


@pytest.mark.parametrize("width", [2, 9, 60])
def test_aliases_of_any_shape_are_bounded(width: int) -> None:
    lines = ["a0: &a0 [x]"] + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * width)}]" for i in range(1, 25)]
    assert read("\n".join(lines)) is None
