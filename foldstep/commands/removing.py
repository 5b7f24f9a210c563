"""`delete`: remove a search with its trials and files."""

from __future__ import annotations

from foldstep.connect import DEFAULT_DIR, connect
from foldstep.options import REFUSED, Dir, SearchId, Token, Url, Yes, confirmed, out, quiet_exit
from foldstep.service.contract.footprint import Footprint
from foldstep.service.contract.numbers import size
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
    removed = in_words(master.delete(view.id))
    out.print(f"{view.id} is deleted: {removed}.", markup=False, highlight=False, soft_wrap=True)


def in_words(footprint: Footprint) -> str:
    """Write what a search consists of: trials, files, and the size of those."""
    trials = "1 trial" if footprint.trials == 1 else f"{footprint.trials:,} trials"
    if not footprint.files:
        return f"{trials}, no files"
    files = "1 file" if footprint.files == 1 else f"{footprint.files:,} files"
    return f"{trials}, {files} of {size(footprint.bytes)}"
