"""Mistakes of users: a change to a good spec, the file that it concerns, and the words that the answer must have."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

GOOD: dict[str, Any] = {
    "name": "good",
    "data": {"dataset": "iris"},
    "cv": {"folds": 2},
    "parameters": {"lr": {"low": 1e-3, "high": 1e-1, "log": True}, "epochs": 1, "width": 8},
    "budget": {"trials": 2},
}


UNREADABLE = "dataset_unreadable"


class Bad(NamedTuple):
    """One mistake.

    Attributes:
        change: parts of the spec that replace those of `GOOD`.
        names: words of the answer, the path first.
        code: code of the error.
    """

    change: dict[str, Any]
    names: tuple[str, ...]
    code: str = "spec_invalid"


def _lr(low: Any, high: Any, **more: Any) -> dict[str, Any]:
    return {"parameters": {"lr": {"low": low, "high": high, **more}}}


def _file(name: str, **more: Any) -> dict[str, Any]:
    return {"data": {"dataset": name, "target": "y", **more}}


def _stages(*stages: dict[str, Any]) -> dict[str, Any]:
    return {"method": "coarse_to_fine", "stages": list(stages)}


THOUSAND = {"low": 1, "high": 1000, "step": 1}
RANGES = {
    "reversed": Bad(_lr(1e-1, 1e-3), ("parameters.lr", "0.1", "0.001")),
    "nan": Bad(_lr(float("nan"), 1.0), ("parameters.lr.low", "nan")),
    "infinite": Bad(_lr(0.1, float("inf")), ("parameters.lr.high", "inf")),
    "negative log": Bad(_lr(-1.0, 1.0, log=True), ("parameters.lr.low", "-1")),
    "zero log": Bad(_lr(0, 1.0, log=True), ("parameters.lr.low", "0")),
    "text": Bad(_lr("small", 1.0), ("parameters.lr.low", "small")),
    "negative step": Bad(_lr(0.1, 1.0, step=-0.1), ("parameters.lr.step", "-0.1")),
    "out of domain": Bad({"parameters": {"dropout": {"low": 0, "high": 1.5}}}, ("parameters.dropout.high", "1.5")),
    "bound for a choice": Bad({"parameters": {"optimizer": {"low": 1, "high": 2}}}, ("parameters.optimizer",)),
    "no choices": Bad({"parameters": {"lr": []}}, ("parameters.lr",)),
    "no high": Bad({"parameters": {"lr": {"low": 0.1}}}, ("parameters.lr", "high")),
}
NAMES = {
    "hyperparameter": Bad({"parameters": {"lrr": 0.1}}, ("parameters.lrr", "lr")),
    "key": Bad({"metod": "grid"}, ("metod", "method")),
    "nested key": Bad({"cv": {"fold": 3}}, ("cv.fold", "folds")),
    "method": Bad({"method": "magic"}, ("method", "grid", "random", "magic")),
    "metric": Bad({"metric": "acuracy"}, ("metric.name", "accuracy")),
    "choice": Bad({"parameters": {"optimizer": ["adam", "adamm"]}}, ("parameters.optimizer", "adamm")),
    "metric of the other task": Bad({"metric": "rmse"}, ("metric.name", "accuracy", "rmse")),
    "search name": Bad({"name": "../up"}, ("name", "../up")),
    "not yet: final": Bad({"final": {"distill": True}}, ("final", "this version does not have it")),
    "checks": Bad({"checks": {"befor": True}}, ("checks.befor", "before")),
    "checks are a mapping": Bad({"checks": "before"}, ("checks", "before")),
    "rungs": Bad({"early_stop": {"rungs": "ahsa"}}, ("early_stop.rungs", "asha", "hyperband", "ahsa")),
    "eta": Bad({"early_stop": {"eta": 1}}, ("early_stop.eta", "2")),
    "racing one fold": Bad(
        {"cv": {"holdout": 0.2}, "early_stop": {"race_folds": True}}, ("early_stop.race_folds", "single fold")
    ),
    "trial time": Bad({"budget": {"trials": 2, "trial_time": "0s"}}, ("budget.trial_time", "greater than 0")),
    "continuing nothing": Bad(
        _stages({"trials": 2, "epochs": 1, "continue": True}),
        ("stages.0.continue", "none before it", "set it in a later stage"),
    ),
    "continuing for no epochs": Bad(
        _stages({"trials": 1, "epochs": 3}, {"trials": 1, "epochs": 2, "continue": True}),
        ("stages.1.epochs", "more than 3", "leave continue out"),
    ),
    "continuing between rungs": Bad(
        {**_stages({"trials": 1, "epochs": 1}, {"trials": 1, "epochs": 2, "continue": True}), "early_stop": {}},
        ("stages.1.continue", "early_stop", "leave one of the two out"),
    ),
    "batch": Bad({"method": "random", "batch": 8}, ("batch", "random", "tpe")),
}
GRIDS = {
    "empty": Bad({"method": "grid", "parameters": {"lr": []}}, ("parameters.lr",)),
    "no steps": Bad({"method": "grid"}, ("parameters.lr", "step")),
    "a billion points": Bad(
        {"method": "grid", "budget": {}, "parameters": {n: dict(THOUSAND) for n in ("width", "batch_size", "epochs")}},
        ("parameters", "1,000,000,000", "method: random"),
    ),
}
FOLDS = {
    "more than rows": Bad({"cv": {"folds": 151}}, ("cv.folds", "151", "150")),
    "more than class members": Bad({**_file("rare.csv"), "cv": {"folds": 3}}, ("cv.folds", "2 of the class b")),
    "one": Bad({"cv": {"folds": 1}}, ("cv.folds", "2")),
    "two kinds": Bad({"cv": {"folds": 2, "holdout": 0.2}}, ("cv", "folds and holdout")),
    "unknown group": Bad({"cv": {"folds": 2, "group": "owner"}}, ("cv.group", "owner")),
}
TARGETS = {
    "unknown": Bad({"data": {"dataset": "rare.csv", "target": "yy"}}, ("data.target", "yy", "did you mean y?")),
    "not named": Bad({"data": {"dataset": "rare.csv"}}, ("data.target",)),
    "constant": Bad(_file("constant.csv"), ("data.target", "only 1")),
    "nan": Bad(_file("holes.csv"), ("data.target", "1 row without one")),
    "infinite": Bad(_file("infinite.csv", task="regression"), ("data.target", "infinite")),
    "text for a regression": Bad(_file("rare.csv", task="regression"), ("data.task", "text")),
    "two": Bad(
        {"data": {"dataset": "rare.csv", "target": ["x", "y"]}}, ("data", "a column left to learn from", "add a column")
    ),
    "several labels": Bad(
        _file("rare.csv", task="multilabel"), ("data.task", "several columns of labels", "data.task: classification")
    ),
    "alone": Bad(_file("lonely.csv"), ("data.dataset", "at least one other column"), UNREADABLE),
}
COMBINATIONS = {
    "lbfgs on batches": Bad(
        {"parameters": {"optimizer": ["adam", "lbfgs"], "batch_size": 16}},
        ("parameters.batch_size", "75 rows", "leave batch_size out"),
    ),
    "batch norm of one row": Bad(
        {"parameters": {"norm": ["none", "batch"], "batch_size": [1, 16]}}, ("parameters.batch_size", "at least 2")
    ),
    "counts below zero": Bad(
        {**_file("debts.csv", task="regression"), "parameters": {"loss": "poisson"}}, ("parameters.loss", "-3")
    ),
    "weight of an unknown class": Bad(
        {**_file("rare.csv"), "parameters": {"class_weight": {"a": 1, "c": 5}}}, ("parameters.class_weight.c", "a, b")
    ),
    "weight of nothing": Bad({"parameters": {"class_weight": {"0": 0}}}, ("parameters.class_weight", "above 0")),
    "quantiles out of order": Bad(
        {**_file("debts.csv", quantiles=[0.9, 0.1]), "parameters": {"loss": "quantile"}},
        ("data.quantiles", "[0.1, 0.9]"),
    ),
    "quantiles of another loss": Bad(_file("debts.csv", quantiles=[0.1]), ("data.quantiles", "loss: quantile")),
    "quantiles in percent": Bad(
        {**_file("debts.csv", quantiles=[10, 90]), "parameters": {"loss": "quantile"}},
        ("data.quantiles.0", "data.quantiles.1", "less than 1"),
    ),
    "quantiles with another metric": Bad(
        {**_file("debts.csv", quantiles=[0.5]), "parameters": {"loss": "quantile"}, "metric": "rmse"},
        ("metric.name", "pinball"),
    ),
    "tweedie as poisson": Bad(
        {"parameters": {"loss": "tweedie", "tweedie_power": 1}}, ("parameters.tweedie_power", "above 1 and below 2")
    ),
    "weight by the target": Bad(_file("debts.csv", weight="y"), ("data.weight",)),
    "exposure without counts": Bad(_file("rare.csv", exposure="x"), ("data.exposure", "loss: poisson")),
}
FILES = {
    "missing": Bad(_file("nowhere.csv"), ("data.dataset", "nowhere.csv"), UNREADABLE),
    "binary": Bad(_file("binary.csv"), ("data.dataset", "seems to be a picture"), UNREADABLE),
    "broken parquet": Bad(_file("broken.parquet"), ("data.dataset",), UNREADABLE),
    "empty": Bad(_file("empty.csv"), ("data.dataset", "empty"), UNREADABLE),
    "header only": Bad(_file("header.csv"), ("data.dataset", "without rows"), UNREADABLE),
    "one row": Bad(_file("one.csv"), ("data.dataset", "single row"), UNREADABLE),
    "ragged": Bad(_file("ragged.csv"), ("data.dataset", "2 values", "1 in line 3"), UNREADABLE),
    "not utf-8": Bad(_file("latin.csv"), ("data.dataset", "line 3", "UTF-8"), UNREADABLE),
    "column twice": Bad(_file("twice.csv"), ("data.dataset", "x"), UNREADABLE),
    "url": Bad(_file("https://example.org/a.csv"), ("data.dataset", "https://example.org/a.csv"), UNREADABLE),
    "outside": Bad(_file("master:/etc/passwd"), ("data.dataset", "/etc/passwd"), "path_not_allowed"),
    "outside by dots": Bad(
        _file("master:../../../../../../etc/passwd"), ("data.dataset", "etc/passwd"), "path_not_allowed"
    ),
}
ALL = {
    f"{group}: {name}": bad
    for group, cases in (
        ("range", RANGES), ("name", NAMES), ("grid", GRIDS), ("folds", FOLDS), ("target", TARGETS), ("file", FILES),
        ("combination", COMBINATIONS),
    )
    for name, bad in cases.items()
}  # fmt: skip
_CONTENT: dict[str, bytes] = {
    "rare.csv": b"x,y\n1,a\n2,a\n3,a\n4,a\n5,b\n6,b\n",
    "debts.csv": b"x,y\n1,1.5\n2,-3\n3,2\n4,1.25\n",
    "constant.csv": b"x,y\n1,1\n2,1\n3,1\n4,1\n",
    "holes.csv": b"x,y\n1,1\n2,0\n3,NA\n4,1\n",
    "infinite.csv": b"x,y\n1,1.5\n2,0.5\n3,inf\n4,1.25\n",
    "lonely.csv": b"y\n1\n0\n1\n0\n",
    "binary.csv": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0",
    "broken.parquet": b"PAR1 and then nothing that makes sense PAR1",
    "empty.csv": b"",
    "header.csv": b"x,y\n",
    "one.csv": b"x,y\n1,1\n",
    "ragged.csv": b"x,y\n1,1\n2\n3,0\n",
    "latin.csv": "x,y\n1,ä\n".encode() + "ü,b\n3,a\n".encode("latin-1"),
    "twice.csv": b"x,x,y\n1,1,0\n2,2,1\n",
}


def write_files(folder: Path) -> None:
    """Write every data file that the mistakes refer to."""
    for name, content in _CONTENT.items():
        (folder / name).write_bytes(content)
