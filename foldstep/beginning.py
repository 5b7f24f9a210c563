"""Begin a search, or resume the unfinished one of the same spec, with the data that are meant."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Literal, TypeAlias

import typer

from foldstep.client import Foldstep
from foldstep.options import REFUSED, err, is_interactive
from foldstep.service.contract.errors import Conflict, DatasetUnreadable, IllegalTransition, PathNotAllowed, SpecInvalid
from foldstep.service.contract.leaderboard import SearchView
from foldstep.service.contract.states import TERMINAL_SEARCH, SearchState

Which: TypeAlias = Literal["unfinished", "new", "old_data"]
"""The search to take: the unfinished one where its data are still the same, a new one, the unfinished one anyway."""


def which_search(*, new: bool, old_data: bool) -> Which:
    """Read the two options; both at once are wrong usage."""
    if new and old_data:
        raise typer.BadParameter("--new and --old-data exclude each other")
    return "new" if new else "old_data" if old_data else "unfinished"


def asker() -> Callable[[str], str] | None:
    """Make a function that asks the user a question and returns the answer; None where nobody can be asked."""
    return (lambda question: str(typer.prompt(question, prompt_suffix=" "))) if is_interactive() else None


def begin(master: Foldstep, spec: dict[str, Any], which: Which, *, ask: Callable[[str], str] | None) -> SearchView:
    """Submit the spec, or resume its unfinished search if it began with the data as they are now.

    Where the data changed since, `which` decides; else the answer to a question.

    Args:
        master: the master; no worker may train its searches before this has returned.
        spec: as it would be submitted.
        which: what the user said on the command line.
        ask: asks the user; None where nobody can be asked.

    Raises:
        Conflict: the data changed since the unfinished search began, and nobody says what to do.
    """
    unfinished = _unfinished(master, spec)
    if not unfinished:
        return master.submit(spec)
    if which == "new":
        return _anew(master, spec, unfinished)
    now = _fingerprint_now(master, spec)
    same = [search for search in unfinished if search.fingerprint == now]
    changed = [search for search in unfinished if search.fingerprint != now]
    if which == "old_data":
        return _resumed(master, (changed or same)[0])
    if same:
        return _resumed(master, same[0])
    if ask is not None:
        return _asked(master, spec, changed, ask)
    raise Conflict(
        f"{_changed(changed[0])} --new begins a new search with the data as they are now, "
        "--old-data resumes that search with the data that it began with."
    )


def _unfinished(master: Foldstep, spec: dict[str, Any]) -> list[SearchView]:
    """Find the unfinished searches of the same spec, the newest first; also those that only one that follows is."""
    known = {search.id: search for search in master.searches()}
    ids = [_first(search, known) for search in known.values() if search.state not in TERMINAL_SEARCH]
    return [known[first] for first in dict.fromkeys(ids) if first in known and master.spec(first) == spec]


def _first(search: SearchView, known: Mapping[str, SearchView]) -> str:
    """Find the search that one follows, perhaps by way of another; itself, where it follows none."""
    if search.follows is None:
        return search.id
    return _first(known[search.follows], known) if search.follows in known else search.follows


def with_followers(master: Foldstep, search: SearchView) -> list[SearchView]:
    """List a search and those that follow it, each before its own followers."""
    begun = [master.search(one) for one in search.followers.values() if one is not None]
    return [search, *(each for one in begun for each in with_followers(master, one))]


def _fingerprint_now(master: Foldstep, spec: dict[str, Any]) -> str | None:
    """Read the data again; None where they no longer are what the spec needs."""
    try:
        return master.validate(spec).problem.fingerprint
    except (DatasetUnreadable, PathNotAllowed, SpecInvalid):
        return None


def _resumed(master: Foldstep, search: SearchView) -> SearchView:
    for one in with_followers(master, search):
        if one.state is SearchState.PAUSED:
            master.resume(one.id)
    return master.search(search.id)


def _anew(master: Foldstep, spec: dict[str, Any], unfinished: list[SearchView]) -> SearchView:
    """Submit the spec, then pause its unfinished searches, so that the workers train the new one alone."""
    search = master.submit(spec)
    for old in (one for first in unfinished for one in with_followers(master, first)):
        with suppress(IllegalTransition):  # it is paused, or ended meanwhile
            master.pause(old.id)
            err.print(f"{old.id} is paused; `foldstep resume {old.id}` resumes it.", markup=False, soft_wrap=True)
    return search


def _changed(search: SearchView) -> str:
    return f"The data changed since the unfinished search {search.id} began."


def _asked(master: Foldstep, spec: dict[str, Any], changed: list[SearchView], ask: Callable[[str], str]) -> SearchView:
    question = f"{_changed(changed[0])} Begin a new search, or resume that one with its old data? [new/old/quit]"
    answer = ""
    while answer not in ("new", "old", "quit"):
        answer = ask(question).strip().lower()
    if answer == "quit":
        raise typer.Exit(REFUSED)
    return _anew(master, spec, changed) if answer == "new" else _resumed(master, changed[0])
