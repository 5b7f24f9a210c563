"""The documentation says what the code does: pages that come from it are current, and nothing is left out."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer.main
from packaging.requirements import Requirement

from docs.make import FOLDER, PAGES, page
from docs.picture import MOST_BYTES, PICTURE
from foldstep.cli import app
from foldstep.models.catalog.hyperparameters import REGISTRY
from foldstep.models.catalog.metrics import METRICS
from foldstep.service.contract.errors import FoldstepError
from foldstep.service.contract.methods import METHODS
from foldstep.service.contract.parse import NOT_YET, load_text, parse_spec
from foldstep.service.contract.spec import NOT_WRITTEN, Spec
from foldstep.service.settings import PREFIX, Settings

ROOT = FOLDER.parent
SOURCES = [p for folder in ("foldstep", "service", "worker", "models") for p in (ROOT / folder).rglob("*.py")]
PROSE = [*ROOT.glob("*.md"), *FOLDER.rglob("*.md")]
COMMANDS: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", PAGES)
def test_page_is_current(name: str) -> None:
    assert (FOLDER / name).read_text() == page(name), "run `python -m docs.make`"


def every_command() -> list[tuple[str, Any]]:
    nested = [(f"{n} {m}", c) for n, group in COMMANDS.items() for m, c in getattr(group, "commands", {}).items()]
    return [(n, c) for n, c in COMMANDS.items() if not hasattr(c, "commands")] + nested


@pytest.mark.parametrize(("name", "command"), every_command())
def test_command_and_each_of_its_options_is_documented(name: str, command: Any) -> None:
    text = (FOLDER / "commands.md").read_text()
    (section,) = re.findall(rf"^## foldstep {name}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    for parameter in command.params:
        if parameter.name == "help" or getattr(parameter, "hidden", False):
            continue
        assert parameter.help, f"{name}: {parameter.name} says nothing"
        shown = (
            parameter.opts[0] if parameter.opts[0].startswith("-") else (parameter.metavar or parameter.name.upper())
        )
        assert f"- `{shown}`: {parameter.help} " in " ".join(f"{section} ".split()) + " "


def test_every_setting_is_documented() -> None:
    text = (FOLDER / "settings.md").read_text()
    for name, field in Settings.model_fields.items():
        assert f"| `{PREFIX}{name.upper()}` | {field.description} |" in text


def test_every_variable_that_the_code_reads_is_documented() -> None:
    read = {v for path in SOURCES for v in re.findall(r"\bFOLDSTEP_[A-Z_]*[A-Z]\b", path.read_text())}
    told = {v for path in PROSE for v in re.findall(r"\bFOLDSTEP_[A-Z_]*[A-Z]\b", path.read_text())}
    assert {"FOLDSTEP_TOKEN", "FOLDSTEP_URL"} <= read
    assert read <= told


def test_every_error_code_is_documented() -> None:
    text = (FOLDER / "errors.md").read_text()

    def codes(error: type[FoldstepError]) -> set[str]:
        return {error.code}.union(*(codes(child) for child in error.__subclasses__()))

    assert codes(FoldstepError) == set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE))


def test_every_hyperparameter_metric_method_and_key_is_documented() -> None:
    pages = ("hyperparameters.md", "methods.md", "metrics.md", "spec.md")
    hyperparameters, methods, metrics, spec = ((FOLDER / name).read_text() for name in pages)
    assert [n for n in REGISTRY if f"| `{n}`" not in hyperparameters] == []
    assert [n for n in METRICS if f"| `{n}` |" not in metrics] == []
    assert [n for n in METHODS if f"| `{n}` |" not in methods] == []
    keys = {"parameters" if k == "space" else k for k in Spec.model_fields} - set(NOT_WRITTEN)
    assert "  # preset: " in spec, "written under parameters"
    assert [k for k in keys if not re.search(rf"^(# )?{k}:", spec, re.MULTILINE)] == []
    promised = [key for key in NOT_YET if re.search(rf"^{key}:", spec, re.MULTILINE)]
    assert promised == [], "what is not there is not promised"


def test_example_of_the_spec_page_is_valid() -> None:
    (text,) = re.findall(r"^```yaml\n(.*?)^```$", (FOLDER / "spec.md").read_text(), re.MULTILINE | re.DOTALL)
    assert parse_spec(load_text(text)).name == "credit-default"


@pytest.mark.parametrize("path", PROSE, ids=lambda p: p.name)
def test_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)", path.read_text()):
        assert target.startswith("https://") or (path.parent / target).exists(), target


PLACEHOLDER = re.compile(r"[A-Z]{2,}")
"""A name that a reader is to replace, as `service/db/NAME.py`."""


@pytest.mark.parametrize("path", PROSE, ids=lambda p: p.name)
def test_files_that_the_prose_names_are_there(path: Path) -> None:
    folders = "foldstep|service|worker|models|migrations|tests|docs|benchmarks"
    named = re.findall(rf"`((?:{folders})/[\w./]+\.\w+)`", path.read_text())
    assert [n for n in named if not PLACEHOLDER.search(n) and not (ROOT / n).exists()] == []


def test_readme_and_architecture_are_short() -> None:
    assert (ROOT / "README.md").read_text().count("\n") <= 150
    assert (ROOT / "ARCHITECTURE.md").read_text().count("\n") <= 100


def test_readme_shows_a_picture_of_the_page() -> None:
    (shown,) = re.findall(r"^!\[[^]]{20,}\]\((\S+)\)$", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert ROOT / shown == PICTURE
    assert PICTURE.read_bytes().startswith(b"\x89PNG\r\n")
    assert 20_000 < PICTURE.stat().st_size <= MOST_BYTES


def test_every_page_can_be_found_from_the_readme() -> None:
    found, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page_path = waiting.pop()
        found.add(page_path)
        targets = (page_path.parent / t for t in re.findall(r"\]\(([^)#:]+\.md)", page_path.read_text()))
        waiting += [t.resolve() for t in targets if t.resolve() not in found]
    assert [p.name for p in PROSE if p not in found] == []


def test_every_measurement_is_on_the_page_of_benchmarks() -> None:
    text = (FOLDER / "benchmarks.md").read_text()
    results = [p.name for p in (ROOT / "benchmarks" / "results").iterdir()]
    assert [name for name in results if f"(../benchmarks/results/{name})" not in text] == []


DECISIONS = sorted((FOLDER / "decisions").glob("0*.md"))


@pytest.mark.parametrize("path", DECISIONS, ids=lambda p: p.name)
def test_decision_has_its_parts_and_is_in_the_index(path: Path) -> None:
    text = path.read_text()
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == ["Context", "Decision", "Consequences", "Alternatives"]
    assert text.count("\n") <= 60, "one page at most"
    title = text.splitlines()[0]
    assert title.startswith(f"# {path.name[:4]}. ")
    line = f"- [{path.name[:4]}]({path.name}) {title[8:]}"
    assert line in (FOLDER / "decisions" / "README.md").read_text().splitlines()


def test_why_each_dependency_is_there_is_told() -> None:
    table = (FOLDER / "decisions" / "0038-dependencies.md").read_text()
    known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    every = [*known["dependencies"], *(r for rows in known["optional-dependencies"].values() for r in rows)]
    names = {Requirement(text).name for text in every} - {known["name"]}
    names = {n for n in names if not n.lower().startswith("types-")}
    assert len(names) > 20
    assert sorted(n for n in names if not re.search(rf"^\| .*\b{n}\b", table, re.MULTILINE)) == []
