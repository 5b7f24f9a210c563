"""Draw the imports between the packages and inside of them, and report every import of a higher layer.

The layers are those of the contracts in `pyproject.toml`, the only source of their order. The layers of a package
without a contract are derived from the imports of its modules. `python -m docs.drawing` writes
`docs/imports.md` and the drawing in `ARCHITECTURE.md`; it exits with 1 where a layer imports a higher one.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import takewhile
from pathlib import Path
from typing import Any, NamedTuple

import grimp

ROOT = Path(__file__).parents[1]
PAGE, ARCHITECTURE = ROOT / "docs" / "imports.md", ROOT / "ARCHITECTURE.md"
BEGIN, END = "<!-- drawn by `python -m docs.drawing` -->\n", "<!-- end of the drawing -->\n"
_SHOWN = 5
"""Number of names written in a box; dots stand for the others."""

Arrows = Counter[tuple[str, str]]


class Layer(NamedTuple):
    """The names of one layer; if they are `apart`, none may import another."""

    names: tuple[str, ...]
    apart: bool

    @property
    def groups(self) -> list[tuple[str, ...]]:
        """The names in groups, each of which is drawn as one box."""
        return [(name,) for name in self.names] if self.apart else [self.names]


class Box(NamedTuple):
    """A box of a drawing: its identifier, its label, and the names that it stands for."""

    key: str
    label: str
    names: tuple[str, ...]


class Drawing(NamedTuple):
    """One package and its layers, the highest first."""

    package: str
    layers: tuple[Layer, ...]

    def heights(self) -> dict[str, int]:
        """Map each name to the index of its layer, counted from the top."""
        return {name: place for place, layer in enumerate(self.layers) for name in layer.names}


def contracts(pyproject: Path) -> list[Drawing]:
    """Read the layers of every package that has a contract of the type `layers`."""
    read: list[dict[str, Any]] = tomllib.loads(pyproject.read_text())["tool"]["importlinter"]["contracts"]
    return [
        Drawing(package, tuple(_layer(line) for line in contract["layers"]))
        for contract in read
        if contract["type"] == "layers"
        for package in contract["containers"]
    ]


def _layer(line: str) -> Layer:
    return Layer(tuple(name.strip(" ()") for name in re.split(r"[|:]", line)), apart=":" not in line)


def by_contract(graph: grimp.ImportGraph, pyproject: Path) -> list[Drawing]:
    """List the packages that have a contract with their layers, the root package first."""
    return [_existing(graph, drawing) for drawing in contracts(pyproject)]


def by_imports(graph: grimp.ImportGraph, known: Iterable[Drawing]) -> list[Drawing]:
    """List the packages that are not `known`, with layers derived from their imports."""
    drawn = {drawing.package for drawing in known}
    return [_by_imports(graph, m) for m in sorted(graph.modules) if m not in drawn and graph.find_children(m)]


def _existing(graph: grimp.ImportGraph, drawing: Drawing) -> Drawing:
    """Remove the names of a contract that do not exist in the package."""
    there = {_short(child) for child in graph.find_children(drawing.package)}
    kept = (Layer(tuple(n for n in layer.names if n in there), layer.apart) for layer in drawing.layers)
    return Drawing(drawing.package, tuple(layer for layer in kept if layer.names))


def _by_imports(graph: grimp.ImportGraph, package: str) -> Drawing:
    """Put each module above those that it imports; modules that import each other in a cycle form the top layer."""
    left = {_short(child) for child in graph.find_children(package)}
    below = {name: {b for a, b in arrows(graph, package) if a == name} for name in left}
    layers: list[Layer] = []
    while left:
        lowest = {name for name in left if not below[name] & left}
        layers.insert(0, Layer(tuple(sorted(lowest or left)), apart=True))
        left -= lowest or left
    return Drawing(package, tuple(layers))


def arrows(graph: grimp.ImportGraph, package: str) -> Arrows:
    """Count the imports from each child of a package to each other child."""
    return Counter((a, b) for a, b, _, _ in _imports(graph, package))


def _imports(graph: grimp.ImportGraph, package: str) -> Iterator[tuple[str, str, str, str]]:
    """List each import inside of a package as child, child, importing module, imported module."""
    for module in sorted(graph.find_descendants(package)):
        for imported in sorted(graph.find_modules_directly_imported_by(module)):
            ends = [_child(package, name) for name in (module, imported)]
            if imported.startswith(f"{package}.") and ends[0] != ends[1]:
                yield ends[0], ends[1], module, imported


def _child(package: str, module: str) -> str:
    return module.removeprefix(f"{package}.").split(".")[0]


def _short(module: str) -> str:
    return module.rpartition(".")[2]


def upward(graph: grimp.ImportGraph, drawings: Iterable[Drawing]) -> list[str]:
    """Report every import of a higher layer or within a layer that is `apart`, and every child without a layer."""
    found = []
    for drawing in drawings:
        heights = drawing.heights()
        for child in sorted(_short(m) for m in graph.find_children(drawing.package)):
            if child not in heights:
                found.append(f"{drawing.package}.{child} stands in no layer")
        for a, b, module, imported in _imports(graph, drawing.package):
            if a in heights and b in heights and not _goes_down(drawing, heights[a], heights[b]):
                found.append(f"{module} imports {imported}: {a} does not stand above {b} in {drawing.package}")
    return found


def _goes_down(drawing: Drawing, start: int, end: int) -> bool:
    return start < end or (start == end and not drawing.layers[start].apart)


def table(graph: grimp.ImportGraph, drawing: Drawing) -> list[str]:
    """Write the layers as a Markdown table: each name with the children that it imports and how often."""
    counted = arrows(graph, drawing.package)
    lines = ["| layer | who | imports |", "| --- | --- | --- |"]
    for place, layer in enumerate(drawing.layers):
        for name in layer.names:
            below = ", ".join(f"{b} {n}" for (a, b), n in sorted(counted.items()) if a == name)
            lines.append(f"| {len(drawing.layers) - place} | `{name}` | {below or '–'} |")
    return lines


def mermaid(graph: grimp.ImportGraph, package: str, boxes: list[Box]) -> list[str]:
    """Draw boxes as a Mermaid flowchart; each arrow is labelled with its number of imports."""
    of = {name: place for place, box in enumerate(boxes) for name in box.names}
    counted: Counter[tuple[int, int]] = Counter()
    for (a, b), n in arrows(graph, package).items():
        if a in of and b in of and of[a] != of[b]:
            counted[of[a], of[b]] += n
    lines = [f'    {box.key}["{box.label}"]' for box in boxes]
    lines += [f"    {boxes[a].key} -->|{n}| {boxes[b].key}" for (a, b), n in sorted(counted.items())]
    return ["```mermaid", "flowchart TD", *lines, "```"]


def boxes_of(drawing: Drawing) -> list[Box]:
    """Make a box for each name, but a single one for the names of a layer that may import each other."""
    groups = [group for layer in drawing.layers for group in layer.groups]
    return [Box(names[0].strip("_"), _listed(names), names) for names in groups]


def boxes_of_whole(whole: Drawing, inside: list[Drawing]) -> list[Box]:
    """Make one box for each package, labelled with its layers, and one for all names above the packages."""
    layers = {_short(drawing.package): drawing.layers for drawing in inside}
    top = tuple(takewhile(lambda layer: not layers.keys() & set(layer.names), whole.layers))
    packages = [name for layer in whole.layers[len(top) :] for name in layer.names]
    above = tuple(name for layer in top for name in layer.names)
    first = Box(whole.package, _heading(whole.package, top), above)
    return [first, *(Box(name, _heading(name, layers.get(name, ())), (name,)) for name in packages)]


def _heading(name: str, layers: Iterable[Layer]) -> str:
    return "<br>".join([name.upper(), *(_listed(layer.names) for layer in layers)])


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names[:_SHOWN]) + (" …" if len(names) > _SHOWN else "")


def page(graph: grimp.ImportGraph, held: list[Drawing], others: list[Drawing]) -> str:
    """Write the page of all imports; `held` are the packages with a contract, `others` those without."""
    found = upward(graph, held + others)
    lines = [
        "# Imports", "",
        "A name in a layer may import what stands in the layers below it. The number beside a name counts imports.",
        "The layers of the first packages are those of the contracts in `pyproject.toml`. In the others a module",
        "stands above those that it imports.", "",
        f"Arrows that go upwards: {len(found) or 'none'}.", *(f"- {sentence}" for sentence in found),
    ]  # fmt: skip
    for drawing in held:
        lines += [
            "",
            f"## {drawing.package}",
            "",
            *mermaid(graph, drawing.package, boxes_of(drawing)),
            "",
            *table(graph, drawing),
        ]
    for drawing in (d for d in others if len(d.layers) > 1):
        lines += ["", f"## {drawing.package}", "", *table(graph, drawing)]
    return BEGIN + "\n" + "\n".join(lines) + "\n"


def architecture(text: str, graph: grimp.ImportGraph, held: list[Drawing]) -> str:
    """Replace the drawing of the whole project in the text of ARCHITECTURE.md."""
    before, _, rest = text.partition(BEGIN)
    drawn = "\n".join(mermaid(graph, held[0].package, boxes_of_whole(held[0], held[1:]))) + "\n"
    return before + BEGIN + drawn + END + rest.partition(END)[2]


def main() -> int:
    """Write both drawings and print the imports of higher layers; return 1 where there are any, else 0."""
    graph = grimp.build_graph("foldstep", cache_dir=None)
    held = by_contract(graph, ROOT / "pyproject.toml")
    others = by_imports(graph, held)
    PAGE.write_text(page(graph, held, others))
    ARCHITECTURE.write_text(architecture(ARCHITECTURE.read_text(), graph, held))
    found = upward(graph, held + others)
    sys.stderr.writelines(f"{sentence}\n" for sentence in found)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
