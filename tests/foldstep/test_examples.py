"""The examples are what their comments say: they parse, fit a table as described, and begin to run."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from foldstep.demo import DEMO_SPEC
from foldstep.service.contract.parse import load_text, parse_spec
from tests.foldstep.conftest import Desk

EXAMPLES = Path(__file__).parents[2] / "examples"
SPECS = {path.name: load_text(path.read_text()) for path in sorted(EXAMPLES.glob("*.yaml"))}


def credit(rng: random.Random) -> str:
    rows = ["customer_id,income,housing,employed_since,has_phone,default"]
    for i in range(80):
        income = "?" if i % 9 == 0 else str(rng.randint(15_000, 90_000))
        since = "" if i % 7 == 0 else str(date(2001, 1, 1) + timedelta(days=rng.randint(0, 7000)))
        phone, housing = rng.choice(["true", "false"]), rng.choice(["own", "rent", "free"])
        rows.append(f"{i},{income},{housing},{since},{phone},{'yes' if i % 4 == 0 else 'no'}")
    return "\n".join(rows) + "\n"


def demand(rng: random.Random) -> str:
    rows = ["day,weekday,temperature,price,holiday,units"]
    for i in range(60):
        day = date(2024, 5, 17) + timedelta(days=i)
        facts = f"{rng.uniform(5, 30):.1f},{rng.uniform(2, 4):.2f},{str(i % 10 == 0).lower()},{100 + i % 17}"
        rows.append(f"{day},{day:%a},{facts}")
    return "\n".join(rows) + "\n"


TABLES: dict[str, Callable[[random.Random], str]] = {"credit.csv": credit, "demand.csv": demand}


def test_there_is_an_example_of_each_kind() -> None:
    assert set(SPECS) == {"digits.yaml", "credit.yaml", "demand.yaml"}


def test_digits_is_the_demo() -> None:
    assert SPECS["digits.yaml"].keys() == DEMO_SPEC.keys()
    assert parse_spec(SPECS["digits.yaml"]) == parse_spec(DEMO_SPEC)


@pytest.mark.parametrize("name", SPECS)
def test_command_in_the_comment_names_the_file(name: str) -> None:
    assert f"foldstep run examples/{name}" in (EXAMPLES / name).read_text()


@pytest.mark.parametrize("name", SPECS)
def test_header_and_rows_in_the_comment_are_of_the_table(name: str) -> None:
    file = SPECS[name]["data"]["dataset"]
    if file in TABLES:
        assert f"#     {TABLES[file](random.Random(1)).splitlines()[0]}\n" in (EXAMPLES / name).read_text()


@pytest.mark.parametrize("name", SPECS)
def test_example_fits_its_data(desk: Desk, name: str) -> None:
    spec: dict[str, Any] = SPECS[name]
    file = spec["data"]["dataset"]
    if file in TABLES:
        desk.write(file, TABLES[file](random.Random(1)))
    checked = desk.master.validate(spec)
    assert checked.problem.task == ("regression" if name == "demand.yaml" else "classification")
    assert checked.problem.n_folds == {"digits.yaml": 5, "credit.yaml": 10, "demand.yaml": 4}[name]
    assert checked.trials == {"digits.yaml": 92, "credit.yaml": 64, "demand.yaml": 62}[name]


def test_tables_of_ones_own_are_searched(busy_desk: Desk) -> None:
    few = {"credit.yaml": {"budget": {"trials": 3}}, "demand.yaml": {"stages": [{"epochs": 2, "trials": 3}]}}
    for name, change in few.items():
        file = SPECS[name]["data"]["dataset"]
        busy_desk.write(file, TABLES[file](random.Random(1)))
        search = busy_desk.master.submit({**SPECS[name], **change})
        end = busy_desk.master.wait(search.id)
        assert (end.state, end.counts["completed"]) == ("completed", 3)
