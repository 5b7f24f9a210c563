"""Use case: keep the files of each search within its quota of bytes; checkpoints of the worst trials go first.

Snapshots count, too, but stay: trials resume from them, and they go by themselves when nothing does any more.
"""

from __future__ import annotations

import logging
from collections import Counter

from foldstep.service.contract.checkpoint_name import CheckpointName
from foldstep.service.contract.errors import NotFound
from foldstep.service.contract.logs import say
from foldstep.service.db import retention, scores, searches, trials
from foldstep.service.flow import files
from foldstep.service.flow.context import Context

_log = logging.getLogger(__name__)


def keep_within_quota(context: Context, search_id: str) -> None:
    """Delete checkpoints of the worst trials until the files of a search fit `max_search_bytes`, and note it.

    The best trial's are kept in any case, and those of trials in training are not looked at.
    """
    limit = context.settings.max_search_bytes
    if not limit:
        return
    folder = files.checkpoint_folder(context.settings, search_id)
    sizes = _sizes(context, search_id)
    left = limit - sum(files.sizes_in(files.snapshot_folder(context.settings, search_id)))
    if sum(sizes.values()) <= left:
        return
    try:
        with context.database.write() as connection:
            search = searches.lock(connection, search_id)
            worst = _worst(retention.kept_worst_first(connection, search_id), sizes, left)
            if not worst:
                return
            trials.unkeep(connection, search_id, worst)
            names = scores.take_checkpoints(connection, search_id, worst)
            searches.add_notes(connection, search, [_note(limit)])
    except NotFound:
        return  # deleted meanwhile
    files.delete(folder, names)
    say(_log, logging.WARNING, f"checkpoints over the quota: deleted those of {len(worst)} trials", search=search_id)


def _note(limit: int) -> str:
    return (
        f"Its files reached the quota of {limit:,} bytes a search (FOLDSTEP_MAX_SEARCH_BYTES): the checkpoints of "
        "the worst trials were deleted."
    )


def _sizes(context: Context, search_id: str) -> Counter[int]:
    """Add up the sizes of each trial's checkpoints, in bytes."""
    sizes: Counter[int] = Counter()
    for name, n_bytes in files.sizes_by_name(files.checkpoint_folder(context.settings, search_id)).items():
        parsed = CheckpointName.parse(name)
        if parsed is not None:
            sizes[parsed.trial] += n_bytes
    return sizes


def _worst(worst_first: list[int], sizes: Counter[int], limit: int) -> list[int]:
    total, chosen = sum(sizes.values()), []
    for number in worst_first[:-1]:
        if total <= limit:
            break
        total -= sizes[number]
        chosen.append(number)
    return chosen
