"""SECURITY.md: each threat names tests that are there; no part of Foldstep loads what could run code."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "SECURITY.md").read_text()
ROWS = [line for line in TEXT.partition("## Threats")[2].splitlines() if line.startswith("| ") and "---" not in line]
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")
CODE = [
    path
    for folder in ("foldstep", "models", "service", "worker", "migrations")
    for path in (ROOT / folder).rglob("*.py")
]
DANGEROUS = {
    "pickle", "cPickle", "dill", "shelve", "marshal", "joblib", "cloudpickle", "eval", "exec", "compile", "os.system",
    "torch.load", "yaml.load", "yaml.unsafe_load", "yaml.full_load", "subprocess.getoutput",
}  # fmt: skip


def names_in(path: Path) -> set[str]:
    return {n.name for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.FunctionDef)}


def test_each_threat_names_the_tests_that_attack_it() -> None:
    threats = [row for row in ROWS if not row.startswith("| threat")]
    assert len(threats) > 25
    for row in threats:
        assert NAMED.search(row), f"no test: {row}"
        for file, name in NAMED.findall(row):
            assert name in names_in(ROOT / file), f"{file}::{name} is not there"


def test_nothing_is_loaded_that_could_run_code() -> None:
    """Safetensors, JSON, Parquet and YAML by a safe loader; no shell."""
    assert len(CODE) > 200
    for path in CODE:
        look_for_danger(path)


@pytest.mark.parametrize(
    "text",
    ["import pickle", "from joblib import load", "torch.load(x)", "run(x, shell=True)", "yaml.load(x)", "eval(x)"],
)
def test_the_look_for_danger_finds_it(text: str, tmp_path: Path) -> None:
    (tmp_path / "x.py").write_text(text)
    with pytest.raises(AssertionError):
        look_for_danger(tmp_path / "x.py")


def look_for_danger(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = {alias.name for alias in node.names} | {getattr(node, "module", None) or ""}
            assert not names & DANGEROUS, f"line {node.lineno}"
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called not in DANGEROUS - {"compile"}, f"line {node.lineno}: {called}"
            assert not any(k.arg == "shell" and getattr(k.value, "value", False) for k in node.keywords), node.lineno
            allow = [k for k in node.keywords if k.arg == "allow_pickle"]
            assert not any(getattr(k.value, "value", True) for k in allow), node.lineno
