"""A search of this process: submit it to the process's service, wait, and take home what it found."""

from __future__ import annotations

import secrets
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from foldstep.beginning import begin, with_followers
from foldstep.client import Foldstep
from foldstep.estimator_service import Service, service
from foldstep.model_export import export_model
from foldstep.model_formats import Format
from foldstep.sending import with_data_sent
from foldstep.service.contract.errors import (
    Conflict,
    FitRefused,
    FoldstepError,
    InvalidInput,
    NothingTrained,
    PathNotAllowed,
)
from foldstep.service.contract.leaderboard import SearchView, TrialView
from foldstep.service.contract.numbers import score
from foldstep.service.contract.states import TERMINAL_SEARCH

_FIRST_LOOK_S, _GROWTH, _LONGEST_LOOK_S = 0.02, 1.3, 0.5
"""Pauses between looks at a search: short searches end soon, and long ones can wait."""
_TELL_S = 2.0
_TABLES = "tables"
"""Folder in the master's, for the tables of fits that go on."""


@dataclass(frozen=True)
class Found:
    """What a search found.

    Attributes:
        search: its summary at the end.
        trials: all its trials, the best first.
        model: the bytes of its model file.
    """

    search: SearchView
    trials: list[TrialView]
    model: bytes


@dataclass(frozen=True)
class Place:
    """Where searches run.

    Attributes:
        data_dir: the master's folder, in which searches stay; None for a temporary one, in which none stays.
        n_workers: worker processes; None for one a GPU or CPU core.
    """

    data_dir: Path | None
    n_workers: int | None


def place_of(data_dir: str | PathLike[str] | None, n_workers: Any) -> Place:
    """Check where a search shall run.

    Raises:
        FitRefused: the number of workers is none.
    """
    if n_workers is not None and not (isinstance(n_workers, int | np.integer) and n_workers >= 1):
        raise FitRefused(f"n_workers is a number of processes from 1, or None for one a core; it is {n_workers!r}.")
    return Place(None if data_dir is None else Path(data_dir), None if n_workers is None else int(n_workers))


def search(
    place: Place, spec: dict[str, Any], write: Callable[[Path], dict[str, Any]], tell: Callable[[str], object]
) -> Found:
    """Run a search to its end.

    Args:
        place: where it runs.
        spec: without its `data`.
        write: writes the table to a path, and returns the spec's `data`.
        tell: called with what happens, a sentence each.

    Raises:
        FitRefused: the spec and the table do not go together.
        NothingTrained: it ended without a score.
        FoldstepError: the service did not start, or ended.
    """
    with service(place.data_dir, place.n_workers) as running, table_path(running.folder) as path:
        try:
            whole, keep = {**spec, "data": write(path)}, place.data_dir is not None
            with submitted(running, running.master, whole, keep=keep) as begun:
                for note in begun.notes:
                    tell(note)
                return taken_home(running.master, ended(running, begun, _telling(tell)))
        except InvalidInput as error:
            raise FitRefused(error.message, faults=error.faults, n_faults=error.n_faults) from None


@contextmanager
def table_path(folder: Path) -> Iterator[Path]:
    """Yield a path for the table, which is deleted after the search: the master has read it by then."""
    (folder / _TABLES).mkdir(mode=0o700, exist_ok=True)
    path = folder / _TABLES / f"table-{secrets.token_hex(6)}.parquet"
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


@contextmanager
def submitted(
    running: Service, master: Foldstep, spec: dict[str, Any], *, keep: bool, resumes: bool = False
) -> Iterator[SearchView]:
    """Submit a search, for as long as the block lasts.

    Args:
        running: where it runs.
        master: a client of its master.
        spec: its spec.
        keep: whether it stays after the block; else it is deleted.
        resumes: take the unfinished search of the same spec and data where there is one, and pause the search where the
            block is left before its end; else a search that is left is stopped.
    """
    begun = _begun(master, spec) if resumes else _new(master, spec)
    try:
        yield begun
    finally:
        if running.is_there:
            _leave(master, begun.id, keep=keep, resumes=resumes)


def _leave(master: Foldstep, search: str, *, keep: bool, resumes: bool) -> None:
    with suppress(FoldstepError):
        for one in reversed(with_followers(master, master.search(search))):
            if one.state not in TERMINAL_SEARCH:
                (master.pause if resumes else master.stop)(one.id)
            if not keep:
                master.delete(one.id)


def _new(master: Foldstep, spec: dict[str, Any]) -> SearchView:
    try:
        return master.submit(spec)
    except PathNotAllowed:  # it is the user's own file, and the master may read other folders alone
        return master.submit(with_data_sent(master, spec, "-"))


def _begun(master: Foldstep, spec: dict[str, Any]) -> SearchView:
    """Resume the unfinished search of the same spec and data, or begin one."""
    try:
        return begin(master, spec, "unfinished", ask=None)
    except PathNotAllowed:
        return _begun(master, with_data_sent(master, spec, "-"))
    except Conflict:  # the data changed since: those of today are meant
        return begin(master, spec, "new", ask=None)


def ended(running: Service, begun: SearchView, look: Callable[[SearchView], object]) -> SearchView:
    """Wait for the end of a search and of those that follow it.

    `look` is called with the search that goes on as it is now and then, and at its end.
    """
    _wait(running, begun, look)
    while (follower := running.master.next_follower(begun.id)) is not None:
        _wait(running, running.master.search(follower), look)
    return running.master.search(begun.id)


def _wait(running: Service, begun: SearchView, look: Callable[[SearchView], object]) -> None:
    pause_s = _FIRST_LOOK_S
    while (seen := running.master.search(begun.id)).state not in TERMINAL_SEARCH:
        running.check()
        look(seen)
        time.sleep(pause_s)
        pause_s = min(_GROWTH * pause_s, _LONGEST_LOOK_S)
    look(seen)


def _telling(tell: Callable[[str], object]) -> Callable[[SearchView], None]:
    """Make a callback for `ended` that tells the progress every few seconds, and at the end."""
    told_at = time.monotonic()

    def look(seen: SearchView) -> None:
        nonlocal told_at
        if seen.state in TERMINAL_SEARCH or time.monotonic() - told_at > _TELL_S:
            tell(_progress(seen))
            told_at = time.monotonic()

    return look


def _progress(seen: SearchView) -> str:
    of = "" if seen.trials is None else f" of {seen.trials}"
    best = "no score yet" if seen.best is None else f"{seen.metric.name} {score(seen.best.score)}"
    which = "" if seen.follows is None else f"{seen.name}: "
    return f"{which}{seen.progress.trials_done}{of} trials, {best}"


def taken_home(master: Foldstep, ended: SearchView) -> Found:
    """Take home what an ended search found.

    Raises:
        NothingTrained: it has no score.
    """
    if ended.best is None:
        raise NothingTrained(_why_nothing(master, ended))
    trials = master.all_trials(ended.id)
    with TemporaryDirectory(prefix="foldstep-") as folder:
        path = Path(folder) / "fit.foldstep"
        export_model(master, ended.id, Format.FOLDSTEP, path)
        return Found(ended, trials, path.read_bytes())


def _why_nothing(master: Foldstep, ended: SearchView) -> str:
    """Say why a search has no score, what the constant answer would score, and what to set."""
    if ended.checks is not None and ended.checks.failed and not ended.counts:
        return f"{ended.checks.failed[0].sentence} Nothing was trained; checks: {{force: true}} trains in spite of it."
    messages = [trial.message for trial in master.all_trials(ended.id) if trial.message]
    why = f" {messages[0]}" if messages else ""
    known = "" if ended.baseline is None else (
        f" All that is known is the constant answer, whose {ended.metric.name} is {score(ended.baseline)}."
    )  # fmt: skip
    return f"No trial came to a score.{why}{known} Set a longer time_limit, n_trials, or parameters with fewer epochs."


def teller(verbose: int) -> Callable[[str], object]:
    """Choose where progress is told: on standard output, or nowhere."""
    if not verbose:
        return lambda _: None
    return lambda said: sys.stdout.write(f"[foldstep] {said}\n")
