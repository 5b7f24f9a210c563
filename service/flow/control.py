"""Use cases: a user pauses, resumes, stops or deletes a search, or asks what deleting it would remove."""

from __future__ import annotations

from foldstep.service.contract.footprint import Footprint
from foldstep.service.contract.states import SearchEvent
from foldstep.service.db import counts, searches, trials
from foldstep.service.flow import files
from foldstep.service.flow.context import Context
from foldstep.service.flow.finish import settle
from foldstep.service.flow.plan import deadline
from foldstep.service.flow.prune import clean_up
from foldstep.service.flow.rungs import close


def pause(context: Context, search_id: str) -> None:
    """Pause a search: no new trials are leased, those in training run to their end; a time budget's clock stops.

    Raises:
        NotFound: there is no such search.
        IllegalTransition: it is over, or paused.
    """
    with context.database.write() as connection:
        searches.lock(connection, search_id)
        searches.move(connection, search_id, SearchEvent.PAUSE, paused_at=context.now())


def resume(context: Context, search_id: str) -> None:
    """Resume a paused search.

    Raises:
        NotFound: there is no such search.
        IllegalTransition: it is not paused.
    """
    now = context.now()
    with context.database.write() as connection:
        search = searches.lock(connection, search_id)
        ends_at = deadline(search, now) if search.started_at is None else search.deadline_at
        if search.started_at and search.deadline_at and search.paused_at:
            ends_at = search.deadline_at + (now - search.paused_at)
        searches.move(
            connection, search_id, SearchEvent.RESUME, started_at=search.started_at or now, deadline_at=ends_at
        )
        search = settle(connection, searches.get(connection, search_id), now)
    clean_up(context, search)


def stop(context: Context, search_id: str) -> None:
    """Stop a search; its results stay, open trials are cancelled, or pruned if they have reached a rung.

    The next report of a worker tells it to stop them.

    Raises:
        NotFound: there is no such search.
        IllegalTransition: it is over.
    """
    now = context.now()
    with context.database.write() as connection:
        close(connection, searches.lock(connection, search_id), now)
        trials.cancel(connection, search_id, now)
        searches.move(connection, search_id, SearchEvent.STOP, finished_at=now)
        search = searches.get(connection, search_id)
    clean_up(context, search)


def footprint(context: Context, search_id: str) -> Footprint:
    """Count what the deletion of a search would remove.

    Raises:
        NotFound: there is no such search.
    """
    with context.database.read() as connection:
        searches.get(connection, search_id)
        n_trials = sum(counts.by_state(connection, search_id).values())
    folders = (files.checkpoint_folder(context.settings, search_id), files.snapshot_folder(context.settings, search_id))
    sizes = [size for folder in folders for size in files.sizes_in(folder)]
    return Footprint(trials=n_trials, files=len(sizes), bytes=sum(sizes))


def delete(context: Context, search_id: str) -> Footprint:
    """Delete a search with its trials and files, and count them; workers that train it lose their leases.

    Raises:
        NotFound: there is no such search.
    """
    removed = footprint(context, search_id)
    with context.database.write() as connection:
        searches.lock(connection, search_id)
        searches.remove(connection, search_id)
    files.delete_folder(files.checkpoint_folder(context.settings, search_id))
    files.delete_folder(files.snapshot_folder(context.settings, search_id))
    return removed
