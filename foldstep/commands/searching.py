"""`submit`, `searches`, `leaderboard`, `show`, `pause`, `resume`, `extend`, `stop`: REST calls of users."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import nullcontext
from typing import Annotated, Any

import typer

from foldstep import display, display_answers, display_diagnostics
from foldstep.client import Foldstep
from foldstep.connect import DEFAULT_DIR, connect
from foldstep.display_progress import Watch, progress
from foldstep.options import (
    NO_WINNER,
    Dir,
    Force,
    Json,
    SearchId,
    SpecFile,
    Token,
    Url,
    err,
    forced,
    names_lines,
    out,
    print_json,
    quiet_exit,
    read_spec,
)
from foldstep.sending import with_data_sent
from foldstep.service.contract.leaderboard import SearchProgress, SearchView, TrialView
from foldstep.service.contract.states import TERMINAL_SEARCH, SearchState

_LOOK_S = 0.2
Limit = Annotated[int, typer.Option(min=1, max=500, help="Rows to show.")]


@names_lines
def submit(
    spec: SpecFile,
    watch: Annotated[bool, typer.Option("--watch", help="Stay until the search has ended.")] = False,
    force: Force = False,
    url: Url = None,
    token: Token = None,
    data_dir: Dir = DEFAULT_DIR,
    as_json: Json = False,
) -> None:
    """Submit a search to a master; the data file beside the spec is sent where the master does not have it."""
    master = connect(url, token, data_dir)
    content = read_spec(spec)
    content = with_data_sent(master, forced(content) if force else content, spec)
    search = master.submit(content)
    if not as_json:
        for note in search.notes:
            out.print(note, markup=False)
    if watch:
        if not as_json:
            out.print(f"{search.id} is submitted; Ctrl-C ends the watching, not the search.")
        with nullcontext() if as_json else Watch(out) as shown:
            watch_to_end(master, search.id, shown)
        show_end(master, search.id, as_json=as_json, said=search.notes)
    elif as_json:
        print_json(search)
    else:
        out.print(f"{search.id} is submitted; `foldstep leaderboard {search.id}` shows its ranking.")


def watch_to_end(
    master: Foldstep, search: str, watch: Watch | None, *, on_look: Callable[[SearchView], object] | None = None
) -> SearchView:
    """Wait for a search to end, and then for those that follow it.

    Args:
        master: the master that runs the search.
        search: its id.
        watch: shows how far it is; None to show nothing.
        on_look: called with the search after every request.
    """

    def look(view: SearchView) -> None:
        if watch is not None:
            watch.look(view)
        if on_look is not None:
            on_look(view)

    ended = master.wait(search, poll_s=_LOOK_S, on_look=look)
    while (follower := master.next_follower(search)) is not None:
        master.wait(follower, poll_s=_LOOK_S, on_look=look)
    return ended


def show_end(master: Foldstep, search_id: str, *, as_json: bool, said: Collection[str] = ()) -> None:
    """Print the leaderboard and the findings not `said` before; exit with `NO_WINNER` if there is no winner."""
    search = master.search(search_id)
    without = display.too_short(search)
    if as_json:
        print_json([as_row(r) for r in master.all_trials(search_id)])
        if without is not None:
            err.print(without, markup=False, soft_wrap=True)
    else:
        _show_ranking(master, search, without)
        if search.checks is not None:
            out.print(display.checks(search.checks))
        for sentence in display.findings(search):
            if sentence not in said:
                out.print(f"• {sentence}", markup=False)
        for sentence in [*display_answers.answers(master, search), *display_answers.final(master, search)]:
            out.print(f"• {sentence}", markup=False)
        if search.best is not None and search.best.checkpoints:
            out.print(
                f"Best checkpoint: {search.checkpoint_dir}/{best_checkpoint(search)}", markup=False, soft_wrap=True
            )
        out.print(f"{search.id}: {search.state}, {_n_trials(search)}.{_trained(search.progress)}")
    quiet_exit(0 if search.best is not None and search.state is SearchState.COMPLETED else NO_WINNER)


def _show_ranking(master: Foldstep, search: SearchView, without: str | None) -> None:
    """Print the leaderboard, or the sentence that says why it is empty."""
    if without is not None:
        out.print(without, markup=False)
    else:
        out.print(display.leaderboard(search, master.leaderboard(search.id, limit=10).rows, out.width))


def _n_trials(search: SearchView) -> str:
    n = display.n_done(search)
    return "1 trial" if n == 1 else f"{n} trials"


def _trained(progress: SearchProgress) -> str:
    """Tell how much was trained until the end."""
    stopped = f"; stopped early: {progress.stopped_early:,}" if progress.stopped_early else ""
    return f" Together they trained {progress.epochs_done:,} epochs{stopped}."


def best_checkpoint(search: SearchView) -> str:
    """Find the checkpoint of the best trial's best fold."""
    best = search.best
    assert best is not None
    scored = [(s, path) for s, path in zip(best.folds, best.checkpoints, strict=True) if s is not None]
    return min(scored, key=lambda fold: search.metric.direction.loss_of(fold[0]))[1]


def as_row(trial: TrialView) -> dict[str, Any]:
    """Convert a trial to a row of the leaderboard as `run --json` prints it."""
    return {
        "rank": trial.rank,
        "trial": trial.trial,
        "score": trial.score,
        "params": trial.params,
        "folds": trial.folds,
        "state": trial.state.value,
        "stage": trial.stage,
        "checkpoints": trial.checkpoints,
    }


def searches(url: Url = None, token: Token = None, data_dir: Dir = DEFAULT_DIR, as_json: Json = False) -> None:
    """List all searches."""
    found = connect(url, token, data_dir).searches()
    if as_json:
        print_json(found)
    elif found:
        out.print(display.searches(found))
    else:
        out.print("There are no searches yet; `foldstep submit SPEC` begins one.")


def leaderboard(
    search: SearchId,
    limit: Limit = 20,
    url: Url = None,
    token: Token = None,
    data_dir: Dir = DEFAULT_DIR,
    as_json: Json = False,
) -> None:
    """Show the ranking of a search and what the border check found."""
    master = connect(url, token, data_dir)
    page = master.leaderboard(search, limit=limit)
    if as_json:
        print_json(page)
        return
    view = master.search(search)
    out.print(display.leaderboard(view, page.rows, out.width))
    for sentence in [*display_answers.answers(master, view), *display.findings(view)]:
        out.print(f"• {sentence}", markup=False)


def show(
    search: SearchId,
    trial: Annotated[int | None, typer.Argument(metavar="[TRIAL]", help="Number of a trial.")] = None,
    url: Url = None,
    token: Token = None,
    data_dir: Dir = DEFAULT_DIR,
    as_json: Json = False,
) -> None:
    """Show a search, or one of its trials."""
    master = connect(url, token, data_dir)
    view = master.search(search)
    if trial is None:
        if as_json:
            print_json(view)
        else:
            out.print(progress(view, out.width))
            if view.checks is not None:
                out.print(display.checks(view.checks))
            for sentence in display.findings(view):
                out.print(f"• {sentence}", markup=False)
        return
    row, seen = master.trial(search, trial), master.diagnostics(search, trial)
    if as_json:
        print_json({**row.model_dump(mode="json"), "diagnostics": seen.model_dump(mode="json")})
    else:
        out.print(display.trial(view, row))
        for part in display_diagnostics.shown(seen):
            out.print(part)


def pause(search: SearchId, url: Url = None, token: Token = None, data_dir: Dir = DEFAULT_DIR) -> None:
    """Pause a search: trials in training continue to their end, no others begin."""
    _say(connect(url, token, data_dir).pause(search))


def resume(search: SearchId, url: Url = None, token: Token = None, data_dir: Dir = DEFAULT_DIR) -> None:
    """Resume a paused search."""
    _say(connect(url, token, data_dir).resume(search))


def extend(
    search: SearchId,
    trials: Annotated[int | None, typer.Option(min=1, help="How many more trials.")] = None,
    time: Annotated[str | None, typer.Option(help="How much more time: seconds, or 90s, 10m, 2h.")] = None,
    url: Url = None,
    token: Token = None,
    data_dir: Dir = DEFAULT_DIR,
) -> None:
    """Give a search more trials or more time; a completed search continues."""
    _say(connect(url, token, data_dir).extend(search, trials=trials, time=time))


def stop(search: SearchId, url: Url = None, token: Token = None, data_dir: Dir = DEFAULT_DIR) -> None:
    """End a search; its results are kept."""
    _say(connect(url, token, data_dir).stop(search))


def _say(search: SearchView) -> None:
    ended = " Its leaderboard stays." if search.state in TERMINAL_SEARCH else ""
    out.print(f"{search.id} is {search.state}.{ended}")
