"""Reading a spec: every kind of fault, with its path and code, and every form that users write."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foldstep.models.catalog.metrics import metrics_of
from foldstep.models.catalog.tasks import Task
from foldstep.service.contract.errors import Fault, SpecInvalid, error_from_problem
from foldstep.service.contract.parse import load_text, parse_spec
from foldstep.service.contract.rules import range_notes
from foldstep.service.contract.space import Choices, Fixed, FloatRange, IntRange
from foldstep.service.contract.spec import Spec

Raw = dict[str, Any]


def raw(**changes: Any) -> Raw:
    return {"name": "a", "data": {"dataset": "digits"}, **changes}


def parameter(given: Any, name: str = "lr") -> Any:
    return parse_spec(raw(parameters={name: given})).space.parameters[name]


def faults_of(spec: Any) -> list[Fault]:
    with pytest.raises(SpecInvalid) as error:
        parse_spec(spec)
    return list(error.value.faults)


FAULTS: list[tuple[str, Raw, str, str]] = [
    ("unknown key", raw(metod="grid"), "metod", "unknown_key"),
    ("unknown key inside", raw(cv={"fold": 5}), "cv.fold", "unknown_key"),
    ("space under its own name", raw(space={}), "space", "unknown_key"),
    ("no data", {"name": "a"}, "data", "missing"),
    ("no dataset", raw(data={}), "data.dataset", "missing"),
    ("no name", {"data": {"dataset": "digits"}}, "name", "missing"),
    ("a name for a shell", raw(name="a b;c"), "name", "out_of_domain"),
    ("a name that climbs", raw(name="../a"), "name", "out_of_domain"),
    ("unknown method", raw(method="gird"), "method", "out_of_domain"),
    ("part to come", raw(final={"distill": True}), "final.distill", "not_available"),
    ("a refit without networks", raw(final={"refit": {"seeds": 0}}), "final.refit.seeds", "out_of_domain"),
    ("a refit of given folds", raw(final={"refit": True}, cv={"column": "x"}), "final.refit", "contradiction"),
    ("ensemble of another word", raw(final={"ensemble": "bagging"}), "final.ensemble", "out_of_domain"),
    ("no member", raw(final={"members": 0}), "final.members", "out_of_domain"),
    ("one member to train", raw(final={"ensemble": "seeds", "members": 1}), "final.members", "contradiction"),
    ("averages of several", raw(final={"ensemble": "averages", "members": 3}), "final.members", "contradiction"),
    ("a refit of seeds", raw(final={"ensemble": "seeds", "refit": True}), "final.refit", "contradiction"),
    (
        "checkpoints without predictions",
        raw(final={"ensemble": "checkpoints"}, checkpoints={"predictions": False}),
        "final.ensemble",
        "contradiction",
    ),
    ("unknown rungs", raw(early_stop={"rungs": "median"}), "early_stop.rungs", "out_of_domain"),
    (
        "racing one fold",
        raw(cv={"holdout": 0.2}, early_stop={"race_folds": True}),
        "early_stop.race_folds",
        "contradiction",
    ),
    (
        "continuing nothing",
        raw(method="coarse_to_fine", stages=[{"trials": 6, "epochs": 2, "continue": True}]),
        "stages.0.continue",
        "contradiction",
    ),
    (
        "continuing for no epochs",
        raw(method="coarse_to_fine", stages=[{"trials": 6, "epochs": 2}, {"trials": 3, "epochs": 2, "continue": True}]),
        "stages.1.epochs",
        "contradiction",
    ),
    (
        "continuing between rungs",
        raw(
            method="coarse_to_fine",
            stages=[{"trials": 6, "epochs": 2}, {"trials": 3, "epochs": 4, "continue": True}],
            early_stop={"rungs": "asha"},
        ),
        "stages.1.continue",
        "contradiction",
    ),
    ("continue as text", raw(stages=[{"trials": 6, "epochs": 2, "continue": "y"}]), "stages.0.continue", "wrong_type"),
    ("its name in the code", raw(stages=[{"trials": 6, "epochs": 2, "continues": True}]), "stages.0.continues",
     "unknown_key"),
    ("no time for a trial", raw(budget={"trial_time": "0s"}), "budget.trial_time", "out_of_domain"),
    ("batch of a blind method", raw(method="random", batch=8), "batch", "contradiction"),
    ("batch of none", raw(method="tpe", batch=0), "batch", "out_of_domain"),
    ("negative seed", raw(seed=-1), "seed", "out_of_domain"),
    ("seed of text", raw(seed="x"), "seed", "wrong_type"),
    ("one fold", raw(cv={"folds": 1}), "cv.folds", "out_of_domain"),
    ("holdout of all", raw(cv={"holdout": 1.0}), "cv.holdout", "out_of_domain"),
    ("folds and holdout", raw(cv={"folds": 5, "holdout": 0.2}), "cv", "contradiction"),
    ("neither", raw(cv={}), "cv", "contradiction"),
    ("group and time", raw(cv={"folds": 5, "group": "g", "time": "t"}), "cv", "contradiction"),
    ("repeated given folds", raw(cv={"column": "c", "repeats": 2}), "cv.repeats", "contradiction"),
    ("stratified time", raw(cv={"folds": 2, "time": "t", "stratify": True}), "cv.stratify", "contradiction"),
    ("test of nothing", raw(data={"dataset": "a", "test": 0}), "data.test", "out_of_domain"),
    ("test column without name", raw(data={"dataset": "a", "test": {}}), "data.test.column", "missing"),
    ("unknown task", raw(data={"dataset": "a", "task": "ranking"}), "data.task", "out_of_domain"),
    ("unknown metric", raw(metric="acuracy"), "metric.name", "out_of_domain"),
    ("metric of the other task", raw(data={"dataset": "a", "task": "regression"}, metric="f1"), "metric.name",
     "contradiction"),
    ("infinite metric target", raw(metric={"name": "r2", "target": float("inf")}), "metric.target", "out_of_domain"),
    ("no trials", raw(budget={"trials": 0}), "budget.trials", "out_of_domain"),
    ("time of nothing", raw(budget={"time": "0s"}), "budget.time", "out_of_domain"),
    ("time in words", raw(budget={"time": "soon"}), "budget.time", "wrong_type"),
    ("stages of another method", raw(stages=[{"epochs": 1, "trials": 1}]), "stages", "contradiction"),
    ("stage without epochs", raw(method="coarse_to_fine", stages=[{"trials": 3}]), "stages.0.epochs", "missing"),
    ("stages against budget", raw(method="coarse_to_fine", stages=[{"epochs": 1, "trials": 3}], budget={"trials": 4}),
     "budget.trials", "contradiction"),
    ("epochs searched by stages", raw(method="coarse_to_fine", parameters={"epochs": [1, 2]}), "parameters.epochs",
     "contradiction"),
    ("keep of another word", raw(checkpoints={"keep": "some"}), "checkpoints.keep", "out_of_domain"),
    ("grid of a range", raw(method="grid", parameters={"lr": {"low": 0.1, "high": 1}}), "parameters.lr", "no_grid"),
    ("grid of a billion", raw(method="grid", parameters={"seed": {"low": 1, "high": 10**9}}), "parameters",
     "grid_too_large"),
    ("parameters as a list", raw(parameters=["lr"]), "parameters", "wrong_type"),
    ("unknown parameter", raw(parameters={"learning_rate": 1}), "parameters.learning_rate", "unknown_key"),
    ("no layer 0", raw(parameters={"width_0": 3}), "parameters.width_0", "unknown_key"),
    ("unknown key of a range", raw(parameters={"lr": {"low": 1, "hihg": 2}}), "parameters.lr.hihg", "unknown_key"),
    ("reversed", raw(parameters={"lr": {"low": 2, "high": 1}}), "parameters.lr", "reversed_range"),
    ("half a range", raw(parameters={"lr": {"low": 2}}), "parameters.lr.high", "missing"),
    ("NaN", raw(parameters={"lr": {"low": float("nan"), "high": 1}}), "parameters.lr.low", "out_of_domain"),
    ("infinite", raw(parameters={"lr": {"low": 1, "high": float("inf")}}), "parameters.lr.high", "out_of_domain"),
    ("logarithm of zero", raw(parameters={"weight_decay": {"low": 0, "high": 1, "log": True}}),
     "parameters.weight_decay.low", "log_not_positive"),
    ("step of a logarithm", raw(parameters={"lr": {"low": 1, "high": 2, "log": True, "step": 0.1}}),
     "parameters.lr.step", "wrong_form"),
    ("step of nothing", raw(parameters={"lr": {"low": 1, "high": 2, "step": 0}}), "parameters.lr.step",
     "out_of_domain"),
    ("half a unit", raw(parameters={"width": {"low": 1, "high": 2, "step": 0.5}}), "parameters.width.step",
     "out_of_domain"),
    ("log of text", raw(parameters={"lr": {"low": 1, "high": 2, "log": "maybe"}}), "parameters.lr.log", "wrong_type"),
    ("range of names", raw(parameters={"optimizer": {"low": 1, "high": 2}}), "parameters.optimizer", "wrong_form"),
    ("two forms", raw(parameters={"lr": {"value": 1, "choices": [1]}}), "parameters.lr", "wrong_form"),
    ("no choices", raw(parameters={"lr": []}), "parameters.lr", "empty_choices"),
    ("a choice twice", raw(parameters={"lr": [0.1, 0.1]}), "parameters.lr", "duplicate_choice"),
    ("unknown choice", raw(parameters={"optimizer": ["adm"]}), "parameters.optimizer.0", "out_of_domain"),
    ("dropout of 1", raw(parameters={"dropout": 1.0}), "parameters.dropout", "out_of_domain"),
    ("lr of 0", raw(parameters={"lr": 0}), "parameters.lr", "out_of_domain"),
    ("true is no number", raw(parameters={"width": True}), "parameters.width", "out_of_domain"),
    ("width and hidden", raw(parameters={"hidden": [8], "width": 8}), "parameters.width", "contradiction"),
    ("condition on nothing", raw(parameters={"momentum": {"value": 0.5, "when": {"optimizer": "sgd"}}}),
     "parameters.momentum.when.optimizer", "unknown_key"),
    ("condition on a value that is not there",
     raw(parameters={"optimizer": "adam", "momentum": {"value": 0.5, "when": {"optimizer": "sgd"}}}),
     "parameters.momentum.when.optimizer", "out_of_domain"),
    ("conditions in a circle", raw(parameters={"lr": {"value": 1, "when": {"dropout": 0}},
                                               "dropout": {"value": 0, "when": {"lr": 1}}}),
     "parameters", "circular_condition"),
    ("when of text", raw(parameters={"lr": {"value": 1, "when": "adam"}}), "parameters.lr.when", "wrong_type"),
    ("W&B's exponents", raw(parameters={"lr": {"distribution": "log_uniform", "min": -6, "max": 0}}),
     "parameters.lr.distribution", "not_supported"),
]  # fmt: skip


@pytest.mark.parametrize(("spec", "path", "code"), [f[1:] for f in FAULTS], ids=[f[0] for f in FAULTS])
def test_each_fault_has_its_path_and_code(spec: Raw, path: str, code: str) -> None:
    assert (path, code) in [(f.path, f.code) for f in faults_of(spec)]


@pytest.mark.parametrize("spec", [None, [], "name: a", 3])
def test_a_spec_is_a_mapping(spec: Any) -> None:
    assert [f.code for f in faults_of(spec)] == ["wrong_type"]


def test_all_faults_come_at_once() -> None:
    spec = raw(
        metod="grid",
        cv={"folds": 1},
        budget={"trial_time": 0},
        parameters={"lr": {"low": 3, "high": 1}, "dropuot": 0.1, "width": [0]},
    )
    assert {f.path for f in faults_of(spec)} == {
        "metod", "cv.folds", "budget.trial_time", "parameters.lr", "parameters.dropuot", "parameters.width.0",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("spec", "meant"),
    [
        (raw(metod="grid"), "method"),
        (raw(cv={"fold": 5}), "folds"),
        (raw(parameters={"droput": 0.1}), "dropout"),
        (raw(parameters={"optimizer": "adm"}), "adam"),
        (raw(parameters={"lr": {"low": 1, "hihg": 2}}), "high"),
        (raw(stages=[{"trials": 6, "epochs": 2, "contiue": True}]), "continue"),
    ],
)
def test_a_near_miss_is_named(spec: Raw, meant: str) -> None:
    assert any(f.hint == f"did you mean {meant}?" for f in faults_of(spec))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (0.1, Fixed(value=0.1)),
        ("1e-4", Fixed(value=1e-4)),
        (1, Fixed(value=1.0)),
        ({"value": "1e-4"}, Fixed(value=1e-4)),
        ([0.1, "1e-2"], Choices(choices=[0.1, 0.01])),
        ({"choices": [0.1]}, Choices(choices=[0.1])),
        ({"low": "1e-6", "high": 10, "log": True}, FloatRange(low=1e-6, high=10.0, log=True)),
        ({"low": 0.1, "high": 0.5, "step": 0.1}, FloatRange(low=0.1, high=0.5, step=0.1)),
        ({"min": 0.1, "max": 0.5}, FloatRange(low=0.1, high=0.5)),
        ({"distribution": "log_uniform_values", "min": 1e-4, "max": 1}, FloatRange(low=1e-4, high=1.0, log=True)),
        ({"distribution": "q_uniform", "min": 0, "max": 1, "q": 0.5}, None),
        ({"values": [0.1, 0.2]}, Choices(choices=[0.1, 0.2])),
        ({"distribution": "categorical", "values": [0.1]}, Choices(choices=[0.1])),
        ({"distribution": "constant", "value": 0.1}, Fixed(value=0.1)),
    ],
)
def test_the_forms_of_a_distribution(given: Any, expected: Any) -> None:
    if expected is None:  # lr cannot be 0: only the words are of interest
        assert [f.path for f in faults_of(raw(parameters={"lr": given}))] == ["parameters.lr.min"]
    else:
        assert parameter(given) == expected


def test_whole_numbers_give_whole_numbers() -> None:
    assert parameter({"low": 16, "high": 256.0, "log": True}, "width") == IntRange(low=16, high=256, log=True)
    assert parameter([[64], [128, 128]], "hidden") == Choices(choices=[[64], [128, 128]])
    assert parameter([64, 32], "hidden") == Fixed(value=[64, 32])


def test_conditions() -> None:
    spec = parse_spec(
        raw(
            parameters={
                "momentum": {"low": 0.5, "high": 0.9, "when": {"optimizer": "sgd"}},
                "optimizer": ["adam", "sgd"],
            }
        )
    )
    assert spec.space.parameters["momentum"].when == {"optimizer": ["sgd"]}
    assert spec.space.ordered() == ["optimizer", "momentum"]
    assert spec.space.from_unit({"optimizer": 0.0, "momentum": 0.5}) == {"optimizer": "adam"}
    assert set(spec.space.from_unit({"optimizer": 0.9, "momentum": 0.5})) == {"optimizer", "momentum"}


def test_yaml_with_its_traps() -> None:
    text = "{name: a, data: {dataset: digits}, parameters: {lr: {low: 1e-6, high: 1e1, log: true}}, budget: {time: 2h}}"
    spec = parse_spec(load_text(text))
    assert spec.space.parameters["lr"] == FloatRange(low=1e-6, high=10.0, log=True)
    assert spec.budget.time == 7200.0


def test_text_that_is_no_yaml_says_where() -> None:
    with pytest.raises(SpecInvalid, match=r"line 2, column") as error:
        load_text("name: a\n]data")
    assert error.value.faults[0].code == "not_yaml"


def test_a_spec_survives_json_and_its_faults_a_problem_document() -> None:
    spec = parse_spec(raw(data={"dataset": "a", "test": {"column": "t"}}, parameters={"hidden": [[8], [16, 8]]}))
    assert Spec.model_validate_json(spec.model_dump_json()) == spec
    with pytest.raises(SpecInvalid) as caught:
        parse_spec(raw(seed=-1, parameters={"lr": 0}))
    again = error_from_problem(caught.value.problem())
    assert type(again) is SpecInvalid
    assert (again.message, again.faults) == (caught.value.message, caught.value.faults)


def test_the_first_metric_of_each_task_is_a_metric() -> None:
    for task in get_args(Task):
        spec = raw(data={"dataset": "a", "task": task}, metric=metrics_of(task)[0])
        assert parse_spec(spec).metric is not None


@pytest.mark.parametrize("trials", [1, 2, 3, 4, 10, 50, 99])
@pytest.mark.parametrize("epochs", [1, 3, 40])
def test_default_stages_use_the_budget_exactly_and_never_shrink(trials: int, epochs: int) -> None:
    spec = parse_spec(raw(method="coarse_to_fine", budget={"trials": trials}, parameters={"epochs": epochs}))
    stages = spec.planned_stages()
    assert sum(s.trials for s in stages) == trials
    assert [s.epochs for s in stages] == sorted(s.epochs for s in stages)
    assert stages[-1].epochs == epochs


def test_a_stage_that_continues_is_read_and_stored_under_the_same_word() -> None:
    stages = [{"trials": 6, "epochs": 2}, {"trials": 3, "epochs": 4, "continue": True}]
    spec = parse_spec(raw(method="coarse_to_fine", stages=stages))
    assert [stage.continues for stage in spec.stages] == [False, True]
    assert Spec.model_validate_json(spec.model_dump_json()) == spec
    assert spec.model_dump(mode="json")["stages"][1] == stages[1]


_KEYS = st.sampled_from(["low", "high", "log", "step", "when", "choices", "value", "x"])
_JUNK = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=4),
    max_leaves=6,
)


def paths_of_faults(spec: Raw) -> list[str]:
    """Empty for a good spec; any other error than the typed one passes through and fails the test."""
    try:
        parse_spec(spec)
    except SpecInvalid as error:
        return [f.path for f in error.faults] or ["no fault named"]
    return []


@given(junk=_JUNK, name=st.sampled_from(["lr", "width", "optimizer", "hidden", "seed"]))
def test_no_parameter_breaks_the_parser(junk: Any, name: str) -> None:
    assert all(path.startswith("parameters") for path in paths_of_faults(raw(parameters={name: junk})))


@given(junk=_JUNK, key=st.sampled_from(["data", "cv", "metric", "budget", "stages", "border", "checkpoints", "name"]))
def test_no_part_breaks_the_parser(junk: Any, key: str) -> None:
    assert "no fault named" not in paths_of_faults(raw(**{key: junk}))


def test_a_long_list_of_choices_is_read_in_linear_time() -> None:
    """Comparing all pairs of 90,000 values would take hours."""
    choices = [[1 + i % 60_000, 1 + i // 60_000] for i in range(90_000)]
    read = parse_spec(raw(parameters={"hidden": choices})).space.parameters["hidden"]
    assert read.grid_size == 90_000
    with pytest.raises(SpecInvalid, match="each value once"):
        parse_spec(raw(parameters={"hidden": [*choices, [1, 1]]}))


def test_equal_choices_are_found_whatever_their_spelling() -> None:
    for name, choices in {"lr": [1, 0.5, "1e0"], "width": [8, 8.0], "class_weight": [{"a": 1, "b": 2}] * 2}.items():
        with pytest.raises(SpecInvalid, match="each value once"):
            parse_spec(raw(parameters={name: {"choices": choices}}))


@pytest.mark.parametrize(
    ("parameters", "notes"),
    [
        ({"dropout": {"low": 0, "high": 0.45, "step": 0.1}},
         ["dropout: steps of 0.1 from 0 end at 0.4; 0.45, the upper bound, is none of its values."]),
        ({"width": {"low": 8, "high": 60, "step": 16}},
         ["width: steps of 16 from 8 end at 56; 60, the upper bound, is none of its values."]),
        ({"dropout": {"low": 0.1, "high": 0.7, "step": 0.1}, "width": {"low": 8, "high": 56, "step": 16}}, []),
        ({"depth": {"low": 1, "high": 9, "log": True}, "lr": {"low": 0.1, "high": 1}}, []),
    ],
)  # fmt: skip
def test_a_step_that_does_not_divide_its_range_is_noted(parameters: Any, notes: list[str]) -> None:
    assert list(range_notes(parse_spec(raw(parameters=parameters)).space)) == notes


def test_an_alias_stands_for_what_it_names() -> None:
    assert load_text("a: &a [1, 2]\nb: *a") == {"a": [1, 2], "b": [1, 2]}


def test_a_few_lines_that_stand_for_billions_are_refused() -> None:
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
    with pytest.raises(SpecInvalid) as refused:
        load_text("\n".join(lines))
    assert [f.code for f in refused.value.faults] == ["too_large"]


def test_faults_of_several_targets_are_told_beside_those_of_parameters() -> None:
    spec = {"name": "t", "data": {"dataset": "d", "target": ["a", "a"]}, "parameters": {"preset": "plane"}}
    assert [(fault.code, fault.path) for fault in faults_of(spec)] == [
        ("out_of_domain", "parameters.preset"), ("named_twice", "data.target")
    ]  # fmt: skip
