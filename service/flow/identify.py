"""Use case: find the search that a word names: its id, its name, or the beginning of its id."""

from __future__ import annotations

from collections.abc import Sequence

from foldstep.service.contract.errors import Ambiguous, NotFound
from foldstep.service.contract.hints import nearest
from foldstep.service.db import searches
from foldstep.service.db.searches import SearchLabel
from foldstep.service.flow.context import Context

_SHOWN = 10


def identify(context: Context, word: str) -> str:
    """Find the id of the search that a word names.

    A whole id counts before a name, and a name before the beginning of an id.

    Raises:
        NotFound: no search has that id or name, or an id that begins so.
        Ambiguous: several have that name, or an id that begins so.
    """
    with context.database.read() as connection:
        labels = searches.labelled(connection, word)
        if not labels:
            raise _unknown(word, searches.newest_labels(connection))
    exact = [label for label in labels if label.id == word]
    named = [label for label in labels if label.name == word]
    found = exact or named or labels
    if len(found) > 1:
        raise _ambiguous(word, found, "the name" if named else "the beginning of the id")
    return found[0].id


def _unknown(word: str, known: Sequence[SearchLabel]) -> NotFound:
    near = nearest(word, [text for label in known for text in (label.name, label.id)])
    hint = f" Did you mean {near}?" if near else ""
    return NotFound(f"There is no search {word}; `foldstep searches` lists those that there are.{hint}")


def _ambiguous(word: str, found: Sequence[SearchLabel], what: str) -> Ambiguous:
    shown = ", ".join(f"{label.id} of {label.created_at:%Y-%m-%d %H:%M} UTC" for label in found[:_SHOWN])
    more = f" and {len(found) - _SHOWN} older ones" if len(found) > _SHOWN else ""
    return Ambiguous(f"{word} is {what} of {len(found)} searches: {shown}{more}. Give more of the id.")
