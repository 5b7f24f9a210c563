"""The hints of refusals: the known word that an unknown one was probably meant to be."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence

from foldstep.service.contract.errors import UNLISTED, Fault
from foldstep.service.contract.synonyms import ADVICE, DISTRIBUTION_KEYS, KEYS, VALUES, squeezed

_SIMILAR, _NEAR = 0.6, 0.8  # least similarities, as difflib measures them
_LISTED = 60
_LONGEST = 400
"""Characters of a name that is compared with others; a text of megabytes would take seconds."""


def nearest(name: str, known: Iterable[str], *, cutoff: float = _SIMILAR) -> str | None:
    """Find the known name that `name` was probably meant to be, whatever its capitals; None when none is similar."""
    if len(name) > _LONGEST:
        return None
    names = list(known)
    if same := _same(name, names):
        return same
    lower = {text.lower(): text for text in reversed(names)}
    found = difflib.get_close_matches(name.lower(), list(lower), n=1, cutoff=cutoff)
    return lower[found[0]] if found else None


def unknown_key(path: str, key: str, known: Iterable[str]) -> Fault:
    """Make the fault for an unknown key, with the key that was probably meant as a hint, or all known keys."""
    names = list(known)
    section = path.removesuffix(key).removesuffix(".")
    hint = key_hint(section, key, names) or "known are " + ", ".join(names[:_LISTED])
    return Fault(code="unknown_key", path=path, expected="a known key", got=key, hint=hint)


def unlisted() -> Fault:
    """Give the fault that stands for each one beyond those that are listed."""
    return _UNLISTED


_UNLISTED = Fault(code=UNLISTED, path="", expected="", got=None)


def key_hint(section: str, key: str, known: Sequence[str]) -> str | None:
    """Say which key was probably meant, one of the section's or one of another part of a spec; None for no idea.

    Args:
        section: path of the mapping that has the key, as `parameters`; empty for the spec itself.
        key: the unknown key.
        known: the keys that the mapping may have.
    """
    if same := _same(key, known):
        return _question([same])
    is_distribution = section.startswith("parameters.")
    targets = (DISTRIBUTION_KEYS if is_distribution else KEYS).get(squeezed(key), ())
    if own := [target for target in targets if _section(target) == section]:
        return _question([target.rpartition(".")[2] if section else target for target in own])
    if near := nearest(key, known, cutoff=_NEAR):
        return _question([near])
    if (advice := ADVICE.get(squeezed(key))) is not None:
        return advice
    if targets:
        return _question(targets)
    near = nearest(key, known)
    return None if near is None else _question([near])


def value_hint(path: str, given: object, known: Iterable[str]) -> str | None:
    """Say which value was probably meant; None for no idea.

    Args:
        path: as `VALUES` names it: the name of a hyperparameter, or a path of a spec.
        given: the unknown value.
        known: the values that there are.
    """
    names, word = list(known), str(given)
    if same := _same(word, names):
        return _question([same])
    if found := _synonyms(VALUES.get(path, {}), word, strip_prefix=path == "metric.name"):
        return _question(found)
    near = nearest(word, names)
    return None if near is None else _question([near])


def _synonyms(table: Mapping[str, Sequence[str]], word: str, *, strip_prefix: bool) -> Sequence[str]:
    """Look a word up, a metric also without `val_`, `neg_` and the like before it."""
    plain = squeezed(word)
    if plain in table or not strip_prefix:
        return table.get(plain, ())
    bare = next((plain.removeprefix(p) for p in ("val", "neg", "test", "valid") if plain.startswith(p)), plain)
    targets = {squeezed(target): (target,) for row in table.values() for target in row}
    return table.get(bare, targets.get(bare, ()))


def _same(word: str, known: Sequence[str]) -> str | None:
    """Find the known word that differs in capitals, underscores and dashes alone."""
    plain = squeezed(word)
    return next((name for name in known if squeezed(name) == plain), None) if plain else None


def _section(target: str) -> str:
    return target.partition("=")[0].rpartition(".")[0]


def _question(targets: Sequence[str]) -> str:
    return f"did you mean {' or '.join(map(_shown, targets))}?"


def _shown(target: str) -> str:
    """Write a path with a value as a spec has it: `early_stop.rungs=hyperband` as `early_stop: {rungs: hyperband}`."""
    path, has_value, value = target.partition("=")
    *outer, key = path.split(".")
    if not has_value:
        return path
    return f"{outer[0]}: {{{key}: {value}}}" if outer else f"{key}: {value}"
