"""`delete`: remove a search with its trials and files."""

from __future__ import annotations

from foldstep.connect import DEFAULT_DIR, connect
from foldstep.options import REFUSED, Dir, SearchId, Token, Url, Yes, confirmed, out, quiet_exit
from foldstep.service.contract.footprint import Footprint
from foldstep.service.contract.states import TERMINAL_SEARCH


def delete(
    search: SearchId,
    yes: Yes = False,
    url: Url = None,
    token: Token = None,
    data_dir: Dir = DEFAULT_DIR,
) -> None:
    """Delete a search with its trials and checkpoints, for good; asks before it does."""
    master = connect(url, token, data_dir)
    view = master.search(search)
    what = in_words(master.footprint(view.id))
    is_open = "" if view.state in TERMINAL_SEARCH else f", which is {view.state}"
    out.print(f"{view.id}{is_open}: {what}.", markup=False, highlight=False, soft_wrap=True)
    if not confirmed(view.id, yes=yes):
        quiet_exit(REFUSED)
        return
    master.delete(view.id)
    out.print(f"{view.id} is deleted.", markup=False, highlight=False)


def in_words(footprint: Footprint) -> str:
    """Write what a search consists of: trials, files, and the size of those."""
    trials = "1 trial" if footprint.trials == 1 else f"{footprint.trials:,} trials"
    if not footprint.files:
        return f"{trials}, no files"
    files = "1 file" if footprint.files == 1 else f"{footprint.files:,} files"
    return f"{trials}, {files} of {size(footprint.bytes)}"


def size(n_bytes: int) -> str:
    """Write a size in bytes as people do."""
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if n_bytes >= size:
            return f"{n_bytes / size:.1f} {unit}"
    return f"{n_bytes} bytes"
