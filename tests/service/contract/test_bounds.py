"""Tests for the bounds of specs: what costs much is refused in words, whatever it was written in."""

from __future__ import annotations

import json
from typing import Any

import pytest

from foldstep.service.contract import hints, parameters
from foldstep.service.contract.bounds import MAX_CHOICES, MAX_CONDITION, MAX_DEPTH, MAX_KEYS, MAX_VALUES, check_values
from foldstep.service.contract.errors import MAX_FAULTS, Fault, SpecInvalid, error_from_problem
from foldstep.service.contract.parse import load_text, parse_spec


def spec_of(**parts: Any) -> dict[str, Any]:
    return {"name": "a", "data": {"dataset": "wine"}, **parts}


def refusal_of(spec: Any) -> SpecInvalid:
    with pytest.raises(SpecInvalid) as refused:
        parse_spec(load_text(spec) if isinstance(spec, str) else spec)
    assert len(json.dumps(refused.value.problem())) < 500_000
    return refused.value


def only_fault(spec: Any) -> Fault:
    (fault,) = refusal_of(spec).faults
    return fault


LAUGHS = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{after}: &{after} [{','.join([f'*{before}'] * 9)}]\n" for before, after in zip("abcdefg", "bcdefgh", strict=True)
)
MERGES = "a: &a {x: 1}\n" + "".join(
    f"{after}: &{after} {{<<: [{','.join([f'*{before}'] * 9)}]}}\n"
    for before, after in zip("abcdefg", "bcdefgh", strict=True)
)


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        (LAUGHS, "too_large", f"at most {MAX_VALUES:,} values"),
        (MERGES, "too_large", f"at most {MAX_VALUES:,} values"),
        (f"a: &a {'x' * 1_000_000}\nb: [*a, *a, *a, *a]", "too_large", "characters"),
        ("a: &a [*a]", "not_readable", f"at most {MAX_DEPTH} levels"),
        ("- " * 5000 + "a", "not_readable", f"at most {MAX_DEPTH} levels"),
        ("{a: " * 200_000, "not_readable", f"at most {MAX_DEPTH} levels"),
        ("[" + "1," * 2 * MAX_VALUES + "1]", "too_large", "values"),
        ("".join(f"k{i}: 1\n" for i in range(MAX_KEYS + 1)), "too_large", "keys in one mapping"),
    ],
)  # fmt: skip
def test_what_a_short_text_can_stand_for_is_bounded(text: str, code: str, words: str) -> None:
    fault = only_fault(text)
    assert fault.code == code
    assert words in fault.expected


@pytest.mark.parametrize("tag", ["timestamp", "binary", "set", "omap", "pairs", "python/name:os.system", "bool", "int"])
@pytest.mark.parametrize("node", ["2024-13-45", "[1, 2]", "{a: 1}", "''"])
def test_tags_make_nothing_but_values_of_json(tag: str, node: str) -> None:
    assert only_fault(f"a: !!{tag} {node}").code == "not_yaml"


def test_a_date_that_is_none_stays_text() -> None:
    assert load_text("a: 2024-13-45")["a"] == "2024-13-45"


@pytest.mark.parametrize("value", ["\ud800", {"\udfff": 1}, ["a", "b\ud800"], 10**400, -(10**400)])
def test_text_and_numbers_that_cannot_be_stored_are_refused(value: Any) -> None:
    fault = only_fault(spec_of(parameters={"lr": value}))
    assert fault.code in ("not_text", "out_of_domain")
    assert fault.path.startswith("parameters.lr")
    json.dumps(fault.model_dump()).encode()


@pytest.mark.parametrize("number", [".nan", ".inf", "-.inf"])
def test_numbers_that_are_none_are_no_words_for_missing_values(number: str) -> None:
    assert only_fault(f"{{name: a, data: {{dataset: wine, missing: [{number}]}}}}").path == "data.missing.0"


def test_hexadecimal_digits_without_end_are_no_number() -> None:
    assert only_fault(f"seed: 0x{'f' * 5000}").code == "out_of_domain"


def test_choices_are_checked_against_conditions_in_linear_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = 0

    class Counted(float):
        def __eq__(self, other: object) -> bool:
            nonlocal compared
            compared += 1
            return float(self) == other

        def __hash__(self) -> int:
            return float.__hash__(self)

    monkeypatch.setattr(parameters._Reader, "_value", lambda _self, given, _path: Counted(given))
    lr = [i / 5000 for i in range(1, 5000)]
    raw = {"lr": lr, "momentum": {"choices": [0.5, 0.9], "when": {"lr": lr[-MAX_CONDITION:]}}}
    found, faults = parameters.parse_parameters(raw)
    assert not faults
    assert len(found) == 2
    assert compared < 10 * MAX_CONDITION


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ([i / 1e6 for i in range(1, MAX_CHOICES + 2)], "parameters.lr"),
        ({"choices": [i / 1e6 for i in range(1, MAX_CHOICES + 2)]}, "parameters.lr.choices"),
        ({"low": 0.5, "high": 1, "or": [i / 1e6 for i in range(1, MAX_CHOICES + 2)]}, "parameters.lr.or"),
    ],
)
def test_more_choices_than_a_search_can_use_are_refused(given: Any, path: str) -> None:
    fault = only_fault(spec_of(parameters={"lr": given}))
    assert (fault.code, fault.path) == ("too_large", path)


def test_a_condition_has_a_bounded_number_of_values() -> None:
    values = list(range(1, MAX_CONDITION + 2))
    fault = only_fault(spec_of(parameters={"batch_size": values, "lr": {"value": 0.1, "when": {"batch_size": values}}}))
    assert (fault.code, fault.path) == ("too_large", "parameters.lr.when.batch_size")


def test_conditions_that_combine_without_end_are_refused() -> None:
    widths = {f"dropout_{i}": {"choices": [j / 100 for j in range(20)]} for i in range(1, 6)}
    whens = {name: [j / 100 for j in range(20)] for name in widths}
    given = {"depth": 5, **widths, "batch_size": {"choices": [2, 4], "when": whens}, "norm": "batch"}
    fault = only_fault(spec_of(parameters=given))
    assert (fault.code, fault.path) == ("too_large", "parameters")


def test_many_choices_of_batch_sizes_are_checked_by_their_least() -> None:
    sizes = list(range(1, 5001))
    given = {"norm": "batch", "batch_size": sizes, "optimizer": ["adam", "sgd", "adamw"]}
    assert only_fault(spec_of(parameters=given)).path == "parameters.batch_size"
    assert parse_spec(spec_of(parameters={**given, "batch_size": sizes[1:]}))


@pytest.mark.parametrize(
    "spec",
    [
        spec_of(**{f"unknown{i}": 1 for i in range(5000)}),
        spec_of(parameters={f"unknown{i}": 1 for i in range(5000)}),
        spec_of(parameters={"lr": {"value": 1, **{f"unknown{i}": 1 for i in range(5000)}}}),
        spec_of(parameters={"optimizer": [f"word{i}" for i in range(5000)]}),
        spec_of(data={"dataset": "a", "ignore": list(range(5000))}),
    ],
)
def test_the_first_faults_are_listed_and_all_are_counted(spec: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    compared = 0
    near = hints.nearest

    def counted(*args: Any, **more: Any) -> str | None:
        nonlocal compared
        compared += 1
        return near(*args, **more)

    monkeypatch.setattr(hints, "nearest", counted)
    error = refusal_of(spec)
    assert (len(error.faults), error.n_faults) == (MAX_FAULTS, 5000)
    assert f"The spec has 5,000 faults, of which these are the first {MAX_FAULTS}: " in error.message
    assert all(fault.path for fault in error.faults)
    assert compared <= 2 * MAX_FAULTS
    again = error_from_problem(error.problem())
    assert (again.n_faults, again.faults) == (5000, error.faults)


def test_what_somebody_made_long_is_cut_in_a_fault() -> None:
    error = refusal_of(spec_of(**{"x" * 1_000_000: "y" * 1_000_000}, method="z" * 1_000_000))
    assert len(error.message) < 20_000


def test_a_grid_without_end_is_counted_no_further() -> None:
    names = [f"dropout_{i}" for i in range(1, 21)]
    given = {"depth": 20, **{name: {"low": 0, "high": 0.9, "step": 1e-300} for name in names}}
    codes = {fault.code for fault in refusal_of(spec_of(method="grid", parameters=given)).faults}
    assert "grid_too_large" in codes


def test_values_within_the_bounds_pass() -> None:
    check_values({"a": [1, 2.5, None, True, "text", "é"], "b": {"c": {}}})
    check_values([1] * (MAX_VALUES - 1))
