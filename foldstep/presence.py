"""Notice while a search is watched that nobody trains it, and say so."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from foldstep.client import Foldstep
from foldstep.service.contract.errors import Unavailable
from foldstep.service.contract.leaderboard import SearchView
from foldstep.service.contract.states import TERMINAL_SEARCH

if TYPE_CHECKING:
    from foldstep.worker.launch.local import WorkerGroup

_LOOK_S = 10.0
"""Seconds between looks at the workers of a master."""


def unless_gone(group: WorkerGroup, data_dir: Path, say: Callable[[str], object]) -> Callable[[SearchView], None]:
    """Make a callback for `Foldstep.wait` that raises `Unavailable` once all workers have ended for good.

    They must have ended by the previous call, so that their last reports are in the search by now. While all have ended
    and are to be started again, `say` is told so, once.
    """
    was_gone = was_down = False

    def look(search: SearchView) -> None:
        nonlocal was_gone, was_down
        if was_gone and search.state not in TERMINAL_SEARCH:
            raise Unavailable(
                f"No worker is left to train {search.id} ({group.reason}). "
                f"Nothing is lost: the same command resumes the search in {data_dir}."
            )
        is_down = group.is_down
        if is_down and not was_down and not group.is_gone:
            say(f"No worker runs at present ({group.reason}). They are started again in a moment.")
        was_gone, was_down = group.is_gone, is_down

    return look


def while_others_work(
    master: Foldstep, data_dir: Path, say: Callable[[str], object], now: Callable[[], float] = time.monotonic
) -> Callable[[SearchView], None]:
    """Make a callback for `Foldstep.wait` that tells `say` when the workers of a master are gone, and are back."""
    was_alone, looked_at = False, now()

    def look(search: SearchView) -> None:
        nonlocal was_alone, looked_at
        if search.state in TERMINAL_SEARCH or now() - looked_at < _LOOK_S:
            return
        looked_at = now()
        is_alone = not any(worker.live for worker in master.workers())
        if is_alone and not was_alone:
            say(f"No worker is left to train {search.id}; it waits. Start some: foldstep worker --dir {data_dir}")
        if was_alone and not is_alone:
            say("There are workers again.")
        was_alone = is_alone

    return look
