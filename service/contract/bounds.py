"""The bounds of a spec, so that no text of a few kilobytes costs the master minutes or gigabytes.

They are checked on what the text stands for: a value that YAML repeats by an alias counts as often as it is repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, TypeAlias

import yaml

from foldstep.service.contract.errors import Fault, SpecInvalid

MAX_DEPTH = 32
"""Levels of nesting."""
MAX_VALUES = 400_000
"""Values in all: keys do not count, mappings and lists do."""
MAX_CHARACTERS = 4 << 20
"""Characters of all keys and texts together."""
MAX_KEYS = 10_000
"""Keys of one mapping."""
MAX_CHOICES = 100_000
"""Values of one list under `parameters`."""
MAX_CONDITION = 1000
"""Values of one condition (`when`)."""
MAX_COMBINATIONS = 20_000
"""Combinations of values of hyperparameters that a rule is checked for."""
MAX_BITS = 1000
"""Bits of a whole number: more do not fit a floating-point number."""

_Link: TypeAlias = "tuple[_Link | None, str]"
"""A path as a chain, from its end: the text of each would have the length of all keys above it."""


class _Parts(NamedTuple):
    """What a mapping, a list or a single value is made of.

    Attributes:
        inner: the values in it, each with its key or index.
        texts: its keys, or itself where it is text.
        n_keys: number of its keys; 0 where it is no mapping.
    """

    inner: Iterable[tuple[str, Any]]
    texts: Iterable[str]
    n_keys: int = 0


def check_values(root: Any) -> None:
    """Check values as JSON has them: mappings, lists, texts, numbers.

    Raises:
        SpecInvalid: they pass a bound, or hold text or a number that cannot be stored.
    """
    _check(root, _parts_of_value)


def check_nodes(root: yaml.Node | None) -> None:
    """Check the nodes of a YAML document before values are made of them.

    Raises:
        SpecInvalid: they pass a bound; a node that contains itself is too deep.
    """
    _check(root, _parts_of_node)


def check_events(events: Iterable[yaml.Event]) -> None:
    """Check the events of a YAML document before nodes are made of them, which takes recursion.

    Raises:
        SpecInvalid: they are nested too deeply, or too many.
    """
    depth = n_values = 0
    for event in events:
        depth += _STEP.get(type(event), 0)
        n_values += isinstance(event, yaml.NodeEvent)
        if depth > MAX_DEPTH:
            raise SpecInvalid([too_deep()])
        if n_values > 2 * MAX_VALUES:  # keys are events, too
            raise _too_large("", f"at most {MAX_VALUES:,} values", "more")


_STEP: Mapping[type, int] = {
    yaml.MappingStartEvent: 1, yaml.SequenceStartEvent: 1, yaml.MappingEndEvent: -1, yaml.SequenceEndEvent: -1,
}  # fmt: skip


def too_deep() -> Fault:
    """Make the fault for a text that is nested too deeply to be read."""
    expected = f"at most {MAX_DEPTH} levels of nesting"
    return Fault(code="not_readable", path="", expected=expected, got="more")


def _check(root: Any, parts_of: Callable[[Any], _Parts]) -> None:
    left: list[tuple[Any, int, _Link | None]] = [(root, 0, None)]
    n_values = n_characters = 0
    while left:
        value, depth, link = left.pop()
        if depth > MAX_DEPTH:
            raise SpecInvalid([too_deep()])
        _check_number(value, link)
        inner, texts, n_keys = parts_of(value)
        if n_keys > MAX_KEYS:
            raise _too_large(_path(link), f"at most {MAX_KEYS:,} keys in one mapping", f"{n_keys:,}")
        for text in texts:
            n_characters += len(text)
            _check_text(text, link)
        n_values += 1
        left += [(part, depth + 1, (link, key)) for key, part in inner]
        if n_values + len(left) > MAX_VALUES:
            raise _too_large("", f"at most {MAX_VALUES:,} values", "more")
        if n_characters > MAX_CHARACTERS:
            raise _too_large("", f"at most {MAX_CHARACTERS:,} characters", "more, with what aliases repeat")


def _parts_of_value(value: Any) -> _Parts:
    if isinstance(value, Mapping):
        return _Parts(((str(key), part) for key, part in value.items()), map(str, value), len(value))
    if isinstance(value, list | tuple):
        return _Parts(((str(i), part) for i, part in enumerate(value)), ())
    return _Parts((), (value,) if isinstance(value, str) else ())


def _parts_of_node(node: yaml.Node | None) -> _Parts:
    if isinstance(node, yaml.MappingNode):
        keys = [key.value if isinstance(key, yaml.ScalarNode) else "" for key, _ in node.value]
        return _Parts(((key, value) for key, (_, value) in zip(keys, node.value, strict=True)), keys, len(keys))
    if isinstance(node, yaml.SequenceNode):
        return _Parts(((str(i), part) for i, part in enumerate(node.value)), ())
    return _Parts((), () if node is None else (node.value,))


def _check_number(value: Any, link: _Link | None) -> None:
    if isinstance(value, int) and value.bit_length() > MAX_BITS:
        raise SpecInvalid([Fault(code="out_of_domain", path=_path(link), expected="a number below 1e300", got="more")])


def _check_text(text: str, link: _Link | None) -> None:
    """Refuse halves of characters (lone surrogates), which JSON can write but no database can store."""
    if text.isascii():
        return
    try:
        text.encode()
    except UnicodeEncodeError:
        fault = Fault(code="not_text", path=_path(link), expected="text", got=ascii(text), hint="it has half of a "
                      "character (a lone surrogate)")  # fmt: skip
        raise SpecInvalid([fault]) from None


def _too_large(path: str, expected: str, got: str) -> SpecInvalid:
    return SpecInvalid([Fault(code="too_large", path=path, expected=expected, got=got)])


def _path(link: _Link | None) -> str:
    keys: list[str] = []
    while link is not None:
        link, key = link
        keys.append(key)
    return ".".join(reversed(keys)) or ""
