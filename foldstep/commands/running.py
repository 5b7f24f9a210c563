"""`run` and `demo`: master, workers and search in one go, on this machine."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple
from urllib.parse import quote as quote_url

import typer

from foldstep.beginning import Which, asker, begin, which_search
from foldstep.client import Foldstep
from foldstep.commands.searching import show_end, watch_to_end
from foldstep.connect import DEFAULT_DIR, master_of
from foldstep.demo import DEMO_SPEC
from foldstep.display_progress import Watch
from foldstep.local import connect_workers, local_service, workers_beside
from foldstep.options import (
    INTERRUPTED,
    Dir,
    Force,
    Json,
    MetricOption,
    PrintSpec,
    SpecOrTable,
    Targets,
    Time,
    Workers,
    err,
    forced,
    names_lines,
    out,
    print_json,
    quiet_exit,
    terminated_as_interrupt,
)
from foldstep.presence import unless_gone, while_others_work
from foldstep.sending import with_data_sent, with_dataset
from foldstep.service.contract.document import dump_document
from foldstep.service.contract.errors import PathNotAllowed, Unavailable
from foldstep.service.contract.leaderboard import SearchView
from foldstep.source import Source, some_master, source_of

if TYPE_CHECKING:
    from foldstep.worker.launch.local import WorkerGroup


WarmStartFile = Annotated[
    Path | None,
    typer.Option(
        "--warm-start", metavar="FILE", help="Begin with the best configurations of a CSV, YAML or JSON file."
    ),
]
Stay = Annotated[bool, typer.Option("--stay", help="Keep the page up until Ctrl-C.")]


@names_lines
def run(
    spec: SpecOrTable,
    target: Targets = None,
    time_limit: Time = None,
    metric: MetricOption = None,
    print_spec: PrintSpec = False,
    workers: Workers = None,
    warm_start: WarmStartFile = None,
    force: Force = False,
    new: Annotated[bool, typer.Option("--new", help="Begin a new search, not the unfinished one.")] = False,
    old_data: Annotated[
        bool, typer.Option("--old-data", help="Resume the unfinished search with its data, though they changed since.")
    ] = False,
    data_dir: Dir = DEFAULT_DIR,
    stay: Stay = False,
    as_json: Json = False,
) -> None:
    """Run a search on this machine: start a master and workers, search, and end. An unfinished search resumes.

    A table with --target is searched in the default space for its size; --print-spec shows that as a spec.
    """
    which = which_search(new=new, old_data=old_data)
    budget = None if time_limit is None else {"time": time_limit}
    source = source_of(spec, target or [], {"metric": metric, "budget": budget})
    if warm_start is not None:
        source = _warmed(source, warm_start)
    if force:
        source = source._replace(content=forced(source.content))
    if print_spec:
        _print_spec(source, data_dir, as_json=as_json)
        return
    content, roots = source.placed()
    run_job(Job(content, roots, data_dir, workers, which, as_json=as_json, stay=stay))


def _warmed(source: Source, path: Path) -> Source:
    from foldstep.warm_start import with_warm_start

    content, notes = with_warm_start(source.content, path)
    for note in notes:
        err.print(note, markup=False, highlight=False, soft_wrap=True)
    return source._replace(content=content)


def demo(
    workers: Workers = None,
    data_dir: Annotated[Path, typer.Option("--dir", help="Folder of the demo.")] = Path("foldstep-demo"),
    stay: Stay = False,
) -> None:
    """Search for the best network on scikit-learn's digits, on this machine."""
    run_job(Job(DEMO_SPEC, [], data_dir, workers, "new", stay=stay))


def _print_spec(source: Source, data_dir: Path, *, as_json: bool) -> None:
    """Print the spec as a master resolves it, with the data as the user named them; the notes go to standard error."""
    with some_master(source, None, None, data_dir) as (master, content):
        found = master.validate(content)
    for note in found.notes:
        err.print(note, markup=False, highlight=False, soft_wrap=True)
    whole = with_dataset(found.spec, source.content["data"]["dataset"])
    if as_json:
        print_json(whole)
    else:
        sys.stdout.write(dump_document(whole))


@dataclass(frozen=True)
class Job:
    """What `run`, `fit` and `demo` are asked for.

    Attributes:
        roots: folders that the master may read data files from.
        which: the search to take, where one of the same spec is unfinished.
        then: called with the search once it has a winner, while its master is there.
    """

    spec: dict[str, Any]
    roots: Sequence[Path]
    data_dir: Path
    workers: int | None
    which: Which
    as_json: bool = False
    stay: bool = False
    then: Callable[[Foldstep, SearchView], object] = lambda _master, _search: None


def run_job(job: Job) -> None:
    """Run a search to its end and show it; exit with another code than 0 where it ends without a winner."""
    shown = None if job.as_json else Watch(out)
    try:
        with terminated_as_interrupt(), shown or nullcontext():
            _say(shown, f"Looking for a master of {job.data_dir}")
            if not _run_beside(job, shown):
                _run_alone(job, shown)
    except KeyboardInterrupt:
        err.print(f"Interrupted; nothing is lost. The same command resumes the search in {job.data_dir}.")
        quiet_exit(INTERRUPTED)


def _run_alone(job: Job, shown: Watch | None) -> None:
    _say(shown, "Starting the master and its workers")
    with local_service(job.data_dir, job.roots, job.workers) as (master, group):
        page = _watch(job, shown, master, group, lambda: connect_workers(group, master, job.data_dir))
        try:
            _end(job, shown, master, page.search)
        finally:
            if shown is not None:
                _say_goodbye(page, page_of(master, page.search) if job.stay else None, job.data_dir)


def _run_beside(job: Job, shown: Watch | None) -> bool:
    """Give the search to the master that serves the folder already, if one does; tell whether it saw the end."""
    master = master_of(job.data_dir)
    if master is None:
        return False
    (err if job.as_json else out).print(
        f"A master serves {job.data_dir} already, at {master.url}; the search goes to it.", markup=False, soft_wrap=True
    )
    try:
        with workers_beside(master, job.data_dir, job.workers) as group:
            page = _watch(job, shown, master, group)
    except Unavailable:
        if master_of(job.data_dir) is not None:
            raise
        _say(shown, "That master has ended; this command goes on with its own")
        return False
    _end(job, shown, master, page.search)
    return True


class _Page(NamedTuple):
    """The page of a search."""

    search: SearchView
    url: str


def _watch(
    job: Job,
    shown: Watch | None,
    master: Foldstep,
    group: WorkerGroup | None,
    on_begun: Callable[[], object] = lambda: None,
) -> _Page:
    """Submit the search and watch it to its end.

    Args:
        job: what is asked for.
        shown: the display; None for none.
        master: of the search.
        group: the workers of this command; None where the master has others.
        on_begun: called once it is decided which search is trained.
    """
    _say(shown, "Reading the data and checking the spec")
    search = _begin(master, job, shown)
    on_begun()
    page = _Page(search, f"{master.url}/#{quote_url(search.id)}")
    if shown is not None:
        _introduce(search, page_of(master, search))
    began = time.monotonic()
    on_look = (
        while_others_work(master, job.data_dir, _teller(shown))
        if group is None
        else unless_gone(group, job.data_dir, _teller(shown))
    )
    watch_to_end(master, search.id, shown, on_look=on_look)
    if group is not None:
        group.leave()
    if shown is not None:
        shown.close()
        out.print(f"The search took {time.monotonic() - began:.1f} s.")
    return page


def _end(job: Job, shown: Watch | None, master: Foldstep, search: SearchView) -> None:
    show_end(master, search.id, as_json=job.as_json, said=() if shown is None else search.notes)
    job.then(master, search)


def _say(shown: Watch | None, doing: str) -> None:
    if shown is not None:
        shown.say(doing)


def _teller(shown: Watch | None) -> Callable[[str], object]:
    """Choose where news of the workers go: they stay on the screen, also where results are printed as JSON."""
    return shown.tell if shown is not None else lambda said: err.print(said, markup=False, soft_wrap=True)


def _begin(master: Foldstep, job: Job, shown: Watch | None) -> SearchView:
    """Submit the spec, or take the unfinished search of the same spec; a question pauses the display."""
    ask = None if shown is None else shown.asking(asker())
    try:
        return begin(master, job.spec, job.which, ask=ask)
    except PathNotAllowed:  # a master that this command did not start may read other folders alone
        return begin(master, with_data_sent(master, job.spec, "-"), job.which, ask=ask)


def _introduce(search: SearchView, page: str) -> None:
    for note in search.notes:
        out.print(note, markup=False)
    trials = "1 trial" if search.trials == 1 else f"{search.trials or 'unlimited'} trials"
    out.print(f"{search.id}: {trials} × {search.n_folds} folds, ranked by {search.metric.name}.")
    out.print(f"Page: {page}", markup=False, soft_wrap=True)


def page_of(master: Foldstep, search: SearchView) -> str:
    """Write the address of a search's page: on a terminal it signs in, once; elsewhere it holds no secret."""
    return master.page_link(search.id) if out.is_terminal else f"{master.url}/#{quote_url(search.id)}"


def _say_goodbye(page: _Page, link: str | None, data_dir: Path) -> None:
    """Keep the page up until Ctrl-C where there is a link to it, and say how it comes back."""
    if link is not None:
        out.print(f"The page stays up until Ctrl-C: {link}", markup=False, soft_wrap=True)
        with suppress(KeyboardInterrupt):
            while True:
                time.sleep(1)
    out.print(f"The page was {page.url}", markup=False, soft_wrap=True)
    out.print(f"It comes back with: foldstep serve --dir {quote(str(data_dir))}", markup=False, soft_wrap=True)
