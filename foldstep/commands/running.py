"""`run` and `demo`: master, workers and search in one go, on this machine."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from foldstep.beginning import Which, asker, begin, which_search
from foldstep.commands.searching import show_end, watch_to_end
from foldstep.connect import DEFAULT_DIR, find_token
from foldstep.demo import DEMO_SPEC
from foldstep.local import connect_workers, local_service
from foldstep.options import (
    INTERRUPTED,
    Dir,
    Force,
    Json,
    SpecFile,
    Workers,
    err,
    forced,
    names_lines,
    out,
    quiet_exit,
    read_spec,
    terminated_as_interrupt,
)
from foldstep.sending import data_file, data_folders, with_dataset
from foldstep.service.contract.errors import Unavailable
from foldstep.service.contract.leaderboard import SearchView
from foldstep.service.contract.states import TERMINAL_SEARCH

if TYPE_CHECKING:
    from foldstep.worker.launch.local import WorkerGroup


@names_lines
def run(
    spec: SpecFile,
    workers: Workers = None,
    force: Force = False,
    new: Annotated[bool, typer.Option("--new", help="Begin a new search, not the unfinished one.")] = False,
    old_data: Annotated[
        bool, typer.Option("--old-data", help="Resume the unfinished search with its data, though they changed since.")
    ] = False,
    data_dir: Dir = DEFAULT_DIR,
    as_json: Json = False,
) -> None:
    """Run a search on this machine: master, workers and search in one go. An unfinished search resumes."""
    which = which_search(new=new, old_data=old_data)
    content, roots = read_local_spec(spec)
    _run(forced(content) if force else content, roots, workers, data_dir, as_json=as_json, which=which)


def demo(
    workers: Workers = None,
    data_dir: Annotated[Path, typer.Option("--dir", help="Folder of the demo.")] = Path("foldstep-demo"),
    stay: Annotated[bool, typer.Option("--stay", help="Keep the page up until Ctrl-C.")] = False,
) -> None:
    """Search for the best network on scikit-learn's digits, on this machine."""
    _run(DEMO_SPEC, [], workers, data_dir, as_json=False, stay=stay, which="new")


def _run(
    spec: dict[str, Any],
    roots: list[Path],
    workers: int | None,
    data_dir: Path,
    *,
    as_json: bool,
    stay: bool = False,
    which: Which = "unfinished",
) -> None:
    try:
        with terminated_as_interrupt(), local_service(data_dir, roots, workers) as (master, group):
            search = begin(master, spec, which, ask=None if as_json else asker())
            connect_workers(group, master, data_dir)
            page = f"{master.url}/#token={find_token(None, data_dir)}&search={search.id}"
            if not as_json:
                _introduce(search, page)
            began = time.monotonic()
            watch_to_end(master, search.id, show_progress=not as_json, on_look=unless_gone(group, data_dir))
            group.leave()
            if not as_json:
                out.print(f"The search took {time.monotonic() - began:.1f} s.")
            try:
                show_end(master, search.id, as_json=as_json, said=search.notes)
            finally:
                if not as_json:
                    _say_goodbye(page, data_dir, stay=stay)
    except KeyboardInterrupt:
        err.print(f"Interrupted; nothing is lost. The same command resumes the search in {data_dir}.")
        quiet_exit(INTERRUPTED)


def unless_gone(group: WorkerGroup, data_dir: Path) -> Callable[[SearchView], None]:
    """Make a callback for `Foldstep.wait` that raises `Unavailable` once all workers have ended for good.

    They must have ended by the previous call, so that their last reports are in the search by now.
    """
    was_gone = False

    def look(search: SearchView) -> None:
        nonlocal was_gone
        if was_gone and search.state not in TERMINAL_SEARCH:
            raise Unavailable(
                f"No worker is left to train {search.id} ({group.reason}). "
                f"Nothing is lost: the same command resumes the search in {data_dir}."
            )
        was_gone = group.is_gone

    return look


def _introduce(search: SearchView, page: str) -> None:
    for note in search.notes:
        out.print(note, markup=False)
    out.print(
        f"{search.id}: {search.trials or 'unlimited'} trials × {search.n_folds} folds, ranked by {search.metric.name}."
    )
    out.print(f"Page: {page}", markup=False, soft_wrap=True)


def _say_goodbye(page: str, data_dir: Path, *, stay: bool) -> None:
    if stay:
        out.print(f"The page stays up until Ctrl-C: {page}", markup=False, soft_wrap=True)
        with suppress(KeyboardInterrupt):
            while True:
                time.sleep(1)
    out.print(f"The page was {page}", markup=False, soft_wrap=True)
    out.print(f"It comes back with: foldstep serve --dir {data_dir}", markup=False, soft_wrap=True)


def read_local_spec(path: str) -> tuple[dict[str, Any], list[Path]]:
    """Read a spec for a master on this machine; its data file becomes an absolute path.

    Returns:
        The spec, and the folders that the master may read data files from.

    Raises:
        InvalidInput: the spec cannot be read.
    """
    content = read_spec(path)
    roots = data_folders(path)
    file = data_file(content, path)
    if file is None:
        return content, roots
    return with_dataset(content, str(file)), [*roots, file.parent]  # the user may read any file that they name
