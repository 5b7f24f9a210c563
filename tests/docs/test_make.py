"""The documentation says what the code does: pages that come from it are current, and nothing is left out."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import typer.main

from docs.make import FOLDER, PAGES, page
from foldstep.cli import app
from foldstep.models.catalog.metrics import METRICS
from foldstep.models.hyperparameters import REGISTRY
from foldstep.service.contract.errors import FoldstepError
from foldstep.service.contract.methods import METHODS
from foldstep.service.contract.parse import NOT_YET, load_text, parse_spec
from foldstep.service.contract.spec import Spec
from foldstep.service.settings import PREFIX, Settings

ROOT = FOLDER.parent
SOURCES = [p for folder in ("foldstep", "service", "worker", "models") for p in (ROOT / folder).rglob("*.py")]
PROSE = [*ROOT.glob("*.md"), *FOLDER.glob("*.md")]
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
        assert f"- `{shown}`: {parameter.help}\n" in section


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
    keys = {"parameters" if k == "space" else k for k in Spec.model_fields}
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


@pytest.mark.parametrize("name", ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"])
def test_files_that_the_prose_names_are_there(name: str) -> None:
    named = re.findall(r"`((?:foldstep|service|worker|models|migrations|tests|docs|benchmarks)/[\w./]+\.\w+)`",
                       (ROOT / name).read_text())  # fmt: skip
    assert [n for n in named if not (ROOT / n).exists()] == []
