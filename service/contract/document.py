"""Reads the text of a spec, YAML or JSON, and tells on which line of it each value stands; writes one.

YAML is read by the core schema of YAML 1.2: `true` and `false` are the only booleans, so that `yes`, `no`, `on` and
`off` stay text, as do dates and times; `010` is ten. Keys are text as it was written, as they are in JSON. PyYAML alone
knows YAML 1.1, whose rules for plain words are another; they are replaced here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import yaml
from yaml.constructor import ConstructorError

from foldstep.service.contract.bounds import check_events, check_nodes
from foldstep.service.contract.errors import DatasetUnreadable, Fault, FoldstepError, PathNotAllowed, SpecInvalid

ABOUT_SPECS = (SpecInvalid, DatasetUnreadable, PathNotAllowed)
"""The errors whose faults have paths in a spec."""
_MERGE = "tag:yaml.org,2002:merge"
_SHORT = 100_000
"""Characters that the loader in Python reads within two seconds."""


class Lines:
    """The lines of a document's keys and values."""

    def __init__(self, root: yaml.Node | None) -> None:
        self._root = root

    def of(self, path: str) -> int | None:
        """Find the line, from 1, of the longest part of a path that the document has; None if it has no part of it."""
        node, line = self._root, None
        while node is not None and path:
            found = _child(node, path)
            if found is None:
                break
            line, node, path = found
        return line

    def place(self, error: FoldstepError, file: str | None = None) -> FoldstepError:
        """Copy an error of a spec with the line, and the file's name, before each fault that has a path."""
        if not isinstance(error, ABOUT_SPECS):
            return error
        prefix = f"{file} " if file else ""
        placed = [_placed(fault, prefix, self.of(fault.path)) for fault in error.faults]
        if isinstance(error, SpecInvalid):
            return SpecInvalid(placed, error.n_faults)
        message = error.message
        for fault, new in zip(error.faults, placed, strict=True):
            message = message.replace(str(fault), str(new))
        return type(error)(message, faults=placed)


class Document(NamedTuple):
    """What was read from a text."""

    value: Any
    lines: Lines


class _Core:
    """What PyYAML's safe loaders do otherwise here: the words of YAML 1.2, and keys that stay text.

    Tags that a document writes itself are those of JSON's values; dates, sets and bytes are none.
    """

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012  # as PyYAML declares it
    yaml_constructors: dict[str | None, Any] = {}  # noqa: RUF012


class _Loader(_Core, yaml.SafeLoader):
    """PyYAML's loader in Python: its messages are the better ones."""


class _Dumper(_Core, yaml.SafeDumper):
    """PyYAML's writer: text that the words of YAML 1.2 would read as something else is put into quotes."""

    def ignore_aliases(self, _data: Any) -> bool:
        """Write what is there twice twice: a reader of the text need not know aliases."""
        return True


class _FastLoader(_Core, getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """PyYAML's loader in C, ten times as fast."""


def _mapping(loader: Any, node: yaml.Node) -> dict[str, Any]:
    """Read a mapping; its keys are the text of their nodes."""
    if not isinstance(node, yaml.MappingNode):
        raise ConstructorError(None, None, "expected a mapping", node.start_mark)
    loader.flatten_mapping(node)
    return {key.value: loader.construct_object(value, deep=True) for key, value in node.value}


def _sequence(loader: Any, node: yaml.Node) -> list[Any]:
    items: list[Any] = loader.construct_sequence(node, deep=True)
    return items


def _bool(loader: Any, node: yaml.Node) -> bool:
    text = loader.construct_scalar(node).lower()
    if text not in ("true", "false"):
        raise ConstructorError(None, None, "expected true or false", node.start_mark)
    return bool(text == "true")


def _int(loader: Any, node: yaml.Node) -> int:
    """Read a whole number: decimal also with leading zeros, octal after `0o`, hexadecimal after `0x`."""
    text = loader.construct_scalar(node)
    return int(text, 0) if text[:2] in ("0o", "0x") else int(text)


def _float(loader: Any, node: yaml.Node) -> float:
    """Read a number with a point or an exponent, `.inf` or `.nan`."""
    return float(loader.construct_scalar(node).lower().replace(".inf", "inf").replace(".nan", "nan"))


def _undefined(_loader: Any, node: yaml.Node) -> None:
    raise ConstructorError(None, None, f"the tag {node.tag!r} is not one of JSON's values", node.start_mark)


_WORDS = (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    ("float", r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
     list("-+.0123456789")),
    ("merge", r"<<", ["<"]),
)  # fmt: skip
_CONSTRUCTORS = {
    "null": lambda _loader, _node: None,
    "bool": _bool,
    "int": _int,
    "float": _float,
    "str": lambda loader, node: loader.construct_scalar(node),
    "seq": _sequence,
    "map": _mapping,
}
for _class in (_Loader, _FastLoader, _Dumper):
    for _name, _pattern, _first in _WORDS:
        _class.add_implicit_resolver(f"tag:yaml.org,2002:{_name}", re.compile(f"^(?:{_pattern})$"), _first)
for _class in (_Loader, _FastLoader):
    for _name, _constructor in _CONSTRUCTORS.items():
        _class.add_constructor(f"tag:yaml.org,2002:{_name}", _constructor)
    _class.add_constructor(None, _undefined)


def load_document(text: str) -> Document:
    """Read YAML or JSON (which is YAML).

    Raises:
        SpecInvalid: the text is neither, has a key twice, or passes a bound (see `service.contract.bounds`).
    """
    try:
        return _loaded(text, _FastLoader)
    except yaml.YAMLError as error:
        raise SpecInvalid([_syntax_fault(_in_words(text, error))]) from None
    except ValueError as error:  # a number of more digits than Python reads
        raise SpecInvalid([Fault(code="not_yaml", path="", expected="YAML or JSON", got=str(error))]) from None


def dump_document(value: Any) -> str:
    """Write JSON's values as YAML that `load_document` reads as the same values; the innermost ones on one line."""
    return yaml.dump(value, Dumper=_Dumper, default_flow_style=None, sort_keys=False, allow_unicode=True, width=110)


def _loaded(text: str, loader_class: Any) -> Document:
    """Read a text with one of the loaders; what is too deep is refused before anything recurs."""
    check_events(yaml.parse(text, Loader=loader_class))
    loader = loader_class(text)
    try:
        root = loader.get_single_node()
        check_nodes(root)
        if faults := list(_key_faults(root)):
            raise SpecInvalid(faults)
        value = None if root is None else loader.construct_document(root)
    finally:
        loader.dispose()
    return Document(value, Lines(root))


def _in_words(text: str, error: yaml.YAMLError) -> yaml.YAMLError:
    """Find the error that the loader in Python has for a text, unless that would take long."""
    if len(text) <= _SHORT:
        try:
            _loaded(text, _Loader)
        except yaml.YAMLError as same:
            return same
        except (SpecInvalid, ValueError):
            pass
    return error


def _syntax_fault(error: yaml.YAMLError) -> Fault:
    mark = getattr(error, "problem_mark", None)
    problem = str(getattr(error, "problem", None) or "it does not parse")
    hint = None
    if "'\\t'" in problem:
        problem, hint = "a tab", "indent with spaces"
    where = f"line {mark.line + 1}, column {mark.column + 1}" if mark else None
    return Fault(code="not_yaml", path="", expected="YAML or JSON", got=problem, hint=hint, where=where)


def _key_faults(root: yaml.Node | None) -> Iterator[Fault]:
    """Find keys that are there twice, or are no text; each node once, since aliases may repeat it very often."""
    left, seen = [(root, "")], set[int]()
    while left:
        node, path = left.pop()
        if node is None or id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            yield from _faults_of_keys(node, path)
            left += [(value, _joined(path, str(key.value))) for key, value in reversed(node.value)]
        elif isinstance(node, yaml.SequenceNode):
            left += [(item, _joined(path, str(i))) for i, item in reversed(list(enumerate(node.value)))]


def _faults_of_keys(node: yaml.MappingNode, path: str) -> Iterator[Fault]:
    lines: dict[str, int] = {}
    for key, _ in node.value:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode):
            yield Fault(code="not_yaml", path=path, expected="text as a key", got="a list or a mapping",
                        where=f"line {line}")  # fmt: skip
        elif key.value in lines and key.tag != _MERGE:
            first = lines[key.value]
            got = f"it twice in line {line}" if first == line else f"it in line {first} and in line {line}"
            yield Fault(code="duplicate_key", path=_joined(path, key.value), expected="each key once", got=got,
                        hint="keep one of the two", where=f"line {line}")  # fmt: skip
        else:
            lines[key.value] = line


def _joined(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _child(node: yaml.Node, path: str) -> tuple[int, yaml.Node, str] | None:
    """Find the value that the beginning of a path leads to: its key's line, its node, and the rest of the path."""
    if isinstance(node, yaml.SequenceNode):
        index, _, rest = path.partition(".")
        if not index.isdecimal() or int(index) >= len(node.value):
            return None
        item = node.value[int(index)]
        return item.start_mark.line + 1, item, rest
    if not isinstance(node, yaml.MappingNode):
        return None
    for key, value in node.value:
        if path == key.value or path.startswith(f"{key.value}."):  # a key may have dots itself
            return key.start_mark.line + 1, value, path[len(key.value) + 1 :]
    return None


def _placed(fault: Fault, prefix: str, line: int | None) -> Fault:
    where = fault.where or (f"line {line}" if line else None)
    return fault.model_copy(update={"where": f"{prefix}{where}"}) if where else fault
