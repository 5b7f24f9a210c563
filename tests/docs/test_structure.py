"""The house keeps its order: short files, short functions, prose of one width, packages that say what they are."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import grimp
import pytest

from docs.prose import PROSE, too_wide

ROOT = Path(__file__).parents[2]
MOST_LINES = 400
MOST_FUNCTION_LINES = 60
CODE = (".py", ".h", ".cpp", ".js", ".css", ".html", ".sh", ".mako")
FOLDERS = ("foldstep", "models", "service", "worker", "migrations", "tests", "benchmarks", "docs")
FILES = [
    path
    for folder in FOLDERS  # links, as foldstep/models, are not followed
    for path in sorted((ROOT / folder).rglob("*"))
    if path.suffix in CODE and "__pycache__" not in path.parts
]
PYTHON = [path for path in FILES if path.suffix == ".py"]
PACKAGES = [path for path in PYTHON if path.name == "__init__.py" and path.relative_to(ROOT).parts[0] != "tests"]


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_no_file_is_longer_than_it_may_be() -> None:
    assert len(FILES) > 300
    assert [named(p) for p in FILES if p.read_text().count("\n") > MOST_LINES] == []


def long_functions(source: str) -> Iterator[str]:
    """Name the functions that are too long and have no comment that says why."""
    lines = source.splitlines()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None:
            first = min([node.lineno, *(d.lineno for d in node.decorator_list)]) - 1
            long = node.end_lineno - node.lineno + 1 > MOST_FUNCTION_LINES
            if long and not any(
                re.match(r"\s*# Long: \w+", line) for line in lines[max(first - 1, 0) : node.end_lineno]
            ):
                yield node.name


def test_no_function_is_longer_than_it_may_be_but_where_a_comment_says_why() -> None:
    found = {named(path): list(long_functions(path.read_text())) for path in PYTHON}
    assert {path: names for path, names in found.items() if names} == {}


def test_long_function_without_a_reason_is_found() -> None:
    body = "    x = 1\n" * MOST_FUNCTION_LINES
    assert list(long_functions(f"def f():\n{body}")) == ["f"]
    assert list(long_functions(f"# Long: it is a table\ndef f():\n{body}")) == []
    assert list(long_functions(f"def f():\n    # Long: it is a table\n{body}")) == []
    assert list(long_functions(f"def f():\n    # Long:\n{body}")) == ["f"]


@pytest.mark.parametrize("path", PROSE, ids=named)
def test_prose_wraps_at_one_width(path: Path) -> None:
    assert too_wide(path.read_text()) == [], "run `python -m docs.prose`"


@pytest.mark.parametrize("path", PACKAGES, ids=named)
def test_package_says_what_lives_there_and_what_it_may_import(path: Path) -> None:
    said = ast.get_docstring(ast.parse(path.read_text())) or ""
    assert 3 <= len(said.splitlines()) <= 7, "about three lines"
    assert re.search(r"^[A-Z].*\.$", said.split("\n\n")[0], re.DOTALL)
    assert "May import" in said
    assert re.search(r"\b(enters?|enter here|must not|belongs? to|[Nn]othing|neither)\b", said), "what must not enter"


def test_packages_import_what_they_say() -> None:
    graph = grimp.build_graph("foldstep", cache_dir=None)
    unsaid = []
    for package in sorted(m for m in graph.modules if graph.find_children(m)):
        path = ROOT.joinpath(*package.split(".")) / "__init__.py"
        said = ast.get_docstring(ast.parse(path.read_text())) or ""
        if "everything of Foldstep" not in said and package != "foldstep":
            unsaid += sorted({f"{package}: {name}" for name in imports(graph, package) if not says(said, name)})
    assert unsaid == []


def imports(graph: grimp.ImportGraph, package: str) -> Iterator[str]:
    """List what the modules of a package import from outside of it, as package.module below `foldstep`."""
    for module in [package, *graph.find_descendants(package)]:
        for imported in graph.find_modules_directly_imported_by(module):
            if not imported.startswith(package):
                yield imported.removeprefix("foldstep.")


def says(docstring: str, imported: str) -> bool:
    """Answer whether a docstring names a module: by itself, by a package above it, or by its name in the package."""
    parts = imported.split(".")
    names = {".".join(parts[:n]) for n in range(1, len(parts) + 1)} | {parts[1] if len(parts) > 1 else parts[0]}
    return any(f"`{name}`" in docstring for name in names)


def test_tests_of_the_models_need_no_worker() -> None:
    for path in sorted((ROOT / "tests" / "models").glob("*.py")):
        assert not re.search(
            r"^\s*(from|import) (foldstep\.worker|tests\.(worker|oracle))", path.read_text(), re.MULTILINE
        ), path
