"""The search of one fit: submit it to the service of this process, wait, and take home what it found."""

from __future__ import annotations

import secrets
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from foldstep.client import Foldstep
from foldstep.estimator_service import Service, service
from foldstep.model_export import export_model
from foldstep.model_formats import Format
from foldstep.sending import with_data_sent
from foldstep.service.contract.errors import FitRefused, FoldstepError, InvalidInput, NothingTrained, PathNotAllowed
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
    with service(place.data_dir, place.n_workers) as running, _table(running.folder) as path:
        try:
            with _submitted(running, {**spec, "data": write(path)}, keep=place.data_dir is not None) as begun:
                return _home(running.master, _ended(running, begun, tell))
        except InvalidInput as error:
            raise FitRefused(error.message, faults=error.faults, n_faults=error.n_faults) from None


@contextmanager
def _table(folder: Path) -> Iterator[Path]:
    """Yield a path for the table, which is deleted after the search: the master has read it by then."""
    (folder / _TABLES).mkdir(mode=0o700, exist_ok=True)
    path = folder / _TABLES / f"table-{secrets.token_hex(6)}.parquet"
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


@contextmanager
def _submitted(running: Service, spec: dict[str, Any], *, keep: bool) -> Iterator[SearchView]:
    """Submit a search; one that is left before its end is stopped, and one that nobody keeps is deleted."""
    try:
        begun = running.master.submit(spec)
    except PathNotAllowed:  # the master was there already, and may read other folders alone
        begun = running.master.submit(with_data_sent(running.master, spec, "-"))
    try:
        yield begun
    finally:
        with suppress(FoldstepError):
            if running.master.search(begun.id).state not in TERMINAL_SEARCH:
                running.master.stop(begun.id)
            if not keep:
                running.master.delete(begun.id)


def _ended(running: Service, begun: SearchView, tell: Callable[[str], object]) -> SearchView:
    """Wait for the end of a search."""
    for note in begun.notes:
        tell(note)
    pause_s, told_at = _FIRST_LOOK_S, time.monotonic()
    while (seen := running.master.search(begun.id)).state not in TERMINAL_SEARCH:
        running.check()
        if time.monotonic() - told_at > _TELL_S:
            tell(_progress(seen))
            told_at = time.monotonic()
        time.sleep(pause_s)
        pause_s = min(_GROWTH * pause_s, _LONGEST_LOOK_S)
    tell(_progress(seen))
    return seen


def _progress(seen: SearchView) -> str:
    of = "" if seen.trials is None else f" of {seen.trials}"
    best = "no score yet" if seen.best is None else f"{seen.metric.name} {score(seen.best.score)}"
    return f"{seen.progress.trials_done}{of} trials, {best}"


def _home(master: Foldstep, ended: SearchView) -> Found:
    if ended.best is None:
        raise NothingTrained(_why_nothing(master, ended))
    trials = master.all_trials(ended.id)
    with TemporaryDirectory(prefix="foldstep-") as folder:
        path = Path(folder) / "fit.foldstep"
        export_model(master, ended.id, Format.FOLDSTEP, path)
        return Found(ended, trials, path.read_bytes())


def _why_nothing(master: Foldstep, ended: SearchView) -> str:
    """Say why a search has no score, what the constant answer would score, and what to set."""
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
