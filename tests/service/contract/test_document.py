"""Tests for reading the text of a spec: the words of YAML 1.2, keys as they were written, faults with their line."""

from __future__ import annotations

from typing import Any

import pytest

from foldstep.service.contract.document import Lines, load_document
from foldstep.service.contract.errors import DatasetUnreadable, Fault, SpecInvalid
from foldstep.service.contract.parse import load_text, parse_spec
from foldstep.service.contract.rules import class_named

HOUSES = """\
name: houses
data:
  dataset: wine
  target: no
parameters:
  lr:
    low: -1
    high: 0.1
  optimizer:
    - adam
    - atom
"""


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", "yes"), ("no", "no"), ("on", "on"), ("Off", "Off"), ("y", "y"), ("true", True), ("FALSE", False),
        ("tRUE", "tRUE"), ("010", 10), ("0o10", 8), ("0x1F", 31), ("0b11", "0b11"), ("1:30", "1:30"), ("12", 12),
        ("2024-01-05", "2024-01-05"), ("2024-01-05 10:00:00", "2024-01-05 10:00:00"), ("1e-4", 1e-4), ("1E3", 1000.0),
        (".5", 0.5), ("-1.", -1.0), (".inf", float("inf")), ("-.INF", float("-inf")), ("1_000", "1_000"),
        ("null", None), ("~", None), ("", None), ("nULL", "nULL"), ("=", "="), ('"12"', "12"), ("'true'", "true"),
    ],
)  # fmt: skip
def test_words_are_those_of_yaml_1_2(text: str, value: Any) -> None:
    read = load_text(f"a: {text}\n")["a"]
    assert read == value
    assert type(read) is type(value)


def test_keys_are_text_as_it_was_written() -> None:
    assert load_text("{yes: 1, true: 2, 007: 3, 1.50: 4, null: 5, 2024-01-05: 6}") == {
        "yes": 1, "true": 2, "007": 3, "1.50": 4, "null": 5, "2024-01-05": 6,
    }  # fmt: skip


def test_a_merge_key_is_overruled_by_the_mapping_it_stands_in() -> None:
    assert load_text("a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}")["b"] == {"x": 1, "y": 3}


def spec_of(**parts: Any) -> dict[str, Any]:
    return {"name": "a", "data": {"dataset": "wine"}, **parts}


@pytest.mark.parametrize(("word", "value"), [("yes", True), ("On", True), ("no", False), ("off", False)])
def test_yes_and_no_are_booleans_where_a_boolean_is_wanted(word: str, value: bool) -> None:
    text = f"""
name: a
method: coarse_to_fine
data: {{dataset: wine}}
cv: {{folds: 3, stratify: {word}}}
border: {{extend: {word}}}
checks: {{before: {word}, force: {word}}}
stages: [{{epochs: 1, trials: 2}}, {{epochs: 2, trials: 1, continue: {word}}}]
parameters: {{lr: {{low: 0.1, high: 1, log: {word}}}}}
"""
    spec = parse_spec(load_text(text))
    found = [spec.cv.stratify, spec.border.extend, spec.checks.before, spec.checks.force, spec.stages[1].continues]
    assert [*found, spec.space.parameters["lr"].log] == [value] * 6  # type: ignore[union-attr]


def test_names_that_are_words_of_yaml_1_1_stay_names() -> None:
    text = "{name: a, data: {dataset: wine, target: no, ignore: [yes, 2024-01-05]}, cv: {column: on}}"
    spec = parse_spec(load_text(text))
    assert (spec.data.target, spec.data.ignore, spec.cv.column) == ("no", ["yes", "2024-01-05"], "on")
    weighted = parse_spec(load_text("{name: a, data: {dataset: w}, parameters: {class_weight: {yes: 2, no: 1}}}"))
    assert weighted.space.parameters["class_weight"].value == {"yes": 2, "no": 1}  # type: ignore[union-attr]


def test_a_number_as_a_name_is_refused_with_the_way_out() -> None:
    with pytest.raises(SpecInvalid) as refused:
        parse_spec(load_text("{name: a, data: {dataset: wine, target: 2024}}"))
    assert [(f.path, f.hint) for f in refused.value.faults] == [("data.target", "put it in quotes if it is a name")]


def test_whole_numbers_in_text_are_exact() -> None:
    assert parse_spec(spec_of(seed="9223372036854775807")).seed == 2**63 - 1
    assert parse_spec(load_text("{name: a, data: {dataset: w}, budget: {trials: 1_000}}")).budget.trials == 1000


@pytest.mark.parametrize(
    ("key", "classes", "label"),
    [
        ("true", ["False", "True"], "True"),
        ("true", ["FALSE", "TRUE"], "TRUE"),
        ("True", ["false", "true"], "true"),
        ("true", ["TRUE", "True"], None),
        ("true", ["True", "true"], "true"),
        ("yes", ["Yes", "No"], None),
        ("b", ["a", "b"], "b"),
    ],
)
def test_a_boolean_key_names_the_one_class_of_another_spelling(key: str, classes: list[str], label: str | None) -> None:
    assert class_named(key, classes) == label


@pytest.mark.parametrize(
    ("text", "code", "where", "words"),
    [
        ("a: 1\n]b", "not_yaml", "line 2, column 1", "but found ']'"),
        ("a:\n\tb: 1", "not_yaml", "line 2, column 1", "a tab; indent with spaces"),
        ("a: 1\nb: 2\na: 3\n", "duplicate_key", "line 3", "it in line 1 and in line 3"),
        ("{a: 1, a: 2}", "duplicate_key", "line 1", "it twice in line 1"),
        ("p:\n  lr: 1\n  lr: 2\n", "duplicate_key", "line 3", "p.lr: expected each key once"),
        ("- x: 1\n  x: 1\n", "duplicate_key", "line 2", "0.x: expected each key once"),
        ("a: b: c", "not_yaml", "line 1, column 5", "mapping values are not allowed"),
        ("? [a]\n: 1", "not_yaml", "line 1", "text as a key"),
        ("a: 1\n---\nb: 1", "not_yaml", "line 2, column 1", "another document"),
        ("a: *b", "not_yaml", "line 1, column 4", "undefined alias"),
        ("a: {<<: 3}", "not_yaml", "line 1, column 9", "mapping"),
        ('a: "x', "not_yaml", "line 1, column 6", "end of stream"),
    ],
)
def test_faults_of_yaml_name_their_line(text: str, code: str, where: str, words: str) -> None:
    with pytest.raises(SpecInvalid) as refused:
        load_text(text)
    (fault,) = refused.value.faults
    assert (fault.code, fault.where) == (code, where)
    assert words in str(fault)
    assert str(fault).startswith(f"{where}: ")


@pytest.mark.parametrize("text", ["a: \x01", "[" * 5000, "1" * 5000])
def test_what_cannot_be_read_is_refused_in_words(text: str) -> None:
    with pytest.raises(SpecInvalid):
        load_text(text)


def test_the_faults_of_a_spec_get_the_lines_of_their_paths() -> None:
    value, lines = load_document(HOUSES)
    with pytest.raises(SpecInvalid) as refused:
        parse_spec(value)
    placed = lines.place(refused.value, "houses.yaml")
    found = {f.path: f.where for f in placed.faults}
    assert found == {"parameters.lr.low": "houses.yaml line 7", "parameters.optimizer.1": "houses.yaml line 11"}
    assert "houses.yaml line 7: parameters.lr.low: expected" in placed.message


def test_a_path_that_the_text_does_not_have_gets_the_line_of_its_beginning() -> None:
    lines = load_document(HOUSES).lines
    assert [lines.of(p) for p in ("data.test.column", "data", "cv.folds", "", "parameters.optimizer.7")] == [
        2, 2, None, None, 9,
    ]  # fmt: skip
    assert Lines(None).of("data") is None


def test_a_key_with_a_dot_is_found() -> None:
    assert load_document("w:\n  a.b: 1\n  a: 2\n").lines.of("w.a.b") == 2


def test_faults_of_the_data_get_the_line_of_the_data_and_keep_their_class() -> None:
    fault = Fault(code="file_not_found", path="data.dataset", expected="a file", got="x.csv")
    error = DatasetUnreadable(f"The data cannot be read: {fault}.", faults=[fault])
    placed = load_document(HOUSES).lines.place(error)
    assert type(placed) is DatasetUnreadable
    assert placed.message == f"The data cannot be read: line 3: {fault}."
