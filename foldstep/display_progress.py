"""The progress of a search in the terminal: what is being done before it begins, and how far it is."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from foldstep.display import STATE_STYLE
from foldstep.service.contract.leaderboard import Activity, SearchProgress, SearchView
from foldstep.service.contract.numbers import score

PLAIN_EVERY_S = 10.0
"""Seconds between two lines outside a terminal, where nothing else happens."""
_BAR_WIDTH = 40
_DOING: dict[Activity, str] = {
    "waiting": "waiting for a worker",
    "checking": "a worker checks data and training",
    "starting": "a worker prepares the data for the first epoch",
    "training": "training",
    "proposing": "choosing the next trials",
    "paused": "paused",
    "ended": "ended",
}


class Watch:
    """A live display on a terminal, and one line that is written anew in a notebook.

    Elsewhere a plain line every 10 s, and whenever something new happens.

    Args:
        console: where to write.
        now: the clock, in seconds.
    """

    def __init__(self, console: Console, now: Callable[[], float] = time.monotonic) -> None:
        self._console, self._now = console, now
        self._began = now()
        self._shown: RenderableType = Text("")
        self._live = Live(console=console, refresh_per_second=4, transient=True, get_renderable=lambda: self._shown)
        self._printed_at, self._told = self._began, (-1, -1, "")
        self._n_written = 0  # letters of the line in a notebook that is written over

    def __enter__(self) -> Watch:
        """Start the live display on a terminal."""
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the live display and clear it."""
        self.close()

    def close(self) -> None:
        """Stop the live display and clear it, if that was not done yet."""
        self._live.stop()
        if self._n_written:
            self._console.file.write("\n")
            self._n_written = 0

    def asking(self, ask: Callable[[str], str] | None) -> Callable[[str], str] | None:
        """Make a function that asks the user while the live display is away; None where nobody can be asked."""
        if ask is None:
            return None

        def asked(question: str) -> str:
            self._live.stop()
            try:
                return ask(question)
            finally:
                if self._console.is_terminal:
                    self._live.start()

        return asked

    def say(self, doing: str) -> None:
        """Tell what is being done before there is a search to look at."""
        if self._console.is_terminal:
            self._shown = Spinner("dots", Text(f" {doing}", no_wrap=True, overflow="ellipsis"))
            self._live.refresh()
        elif self._console.is_jupyter:
            self._write_over(doing)
        else:
            self._print([doing])

    def tell(self, news: str) -> None:
        """Print a line that stays above the live display."""
        self._print([news])

    def look(self, search: SearchView) -> None:
        """Show the search as it is now."""
        if self._console.is_terminal:
            self._shown = progress(search, self._console.width)
            return
        if self._console.is_jupyter:
            self._write_over(_BETWEEN.join(line.strip() for line in _plain(search, self._now() - self._began)))
            return
        told = (search.stage, -1 if search.best is None else search.best.trial, _news(search.progress.activity))
        if told != self._told or self._now() - self._printed_at >= PLAIN_EVERY_S:
            self._told = told
            self._print(_plain(search, self._now() - self._began))

    def _write_over(self, line: str) -> None:
        """Write over the last line of a notebook's cell."""
        self._console.file.write("\r" + line.ljust(self._n_written))
        self._console.file.flush()
        self._n_written = len(line)

    def _print(self, lines: Sequence[str]) -> None:
        self._printed_at = self._now()
        if self._console.is_jupyter:  # the progress goes on below
            self._write_over(lines[0])
            self._console.file.write("\n".join(["", *lines[1:], ""]))
            self._n_written = 0
            return
        for line in lines:
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)


def _news(activity: Activity) -> str:
    """Tell activities apart as far as each deserves a line of its own: pauses between two leases do not."""
    return "" if activity in ("waiting", "training", "proposing") else activity


def progress(search: SearchView, width: int = 80) -> Group:
    """Render a search's progress in lines of at most `width` characters."""
    head = Text.assemble((search.id, "bold"), "  ", (search.state.value, STATE_STYLE[search.state]))
    if search.progress.activity not in ("ended", "paused"):
        head.append(f", {_DOING[search.progress.activity]}")
    head.no_wrap, head.overflow = True, "ellipsis"
    parts = [*_trained(search), *_pace(search.progress)]
    lines = [Text(line, no_wrap=True, overflow="ellipsis") for line in packed(parts, width)]
    return Group(head, _bar(search.progress), *lines, *[Text(part, no_wrap=True) for part in _best(search)])


def _bar(now: SearchProgress) -> RenderableType:
    left = [f"about {span(now.time_left_s)} left"] if now.time_left_s is not None else []
    if now.epochs_planned is None:
        return Text(" · ".join(["no limit of trials", *left]))
    share = now.epochs_done / now.epochs_planned if now.epochs_planned else 0.0
    line = Table.grid(padding=(0, 1, 0, 0))
    line.add_row(
        ProgressBar(total=1.0, completed=share, width=_BAR_WIDTH), Text(" · ".join([f"{100 * share:.0f} %", *left]))
    )
    return line


def _plain(search: SearchView, elapsed_s: float) -> list[str]:
    """Write the progress as plain text: one line, or more where it is longer than 80 characters."""
    now = search.progress
    parts = [f"{span(elapsed_s)}: {_DOING[now.activity]}", *_trained(search), *_best(search), *_pace(now)]
    if now.time_left_s is not None:
        parts.append(f"about {span(now.time_left_s)} left")
    return packed(parts, 80, indent="  ")


def _trained(search: SearchView) -> list[str]:
    now = search.progress
    parts = [f"stage {search.stage + 1} of {search.n_stages}"]
    parts.append(f"{_of(now.epochs_done, now.epochs_planned)} epochs")
    parts.append(f"{_of(now.trials_done, now.trials_planned)} trials")
    counts = {"stopped early": now.stopped_early, "diverged": now.diverged, "failed": now.failed}
    return [*parts, *(f"{n:,} {what}" for what, n in counts.items() if n)]


def _of(done: int, planned: int | None) -> str:
    return f"{done:,}" if planned is None else f"{done:,} of {planned:,}"


def _pace(now: SearchProgress) -> list[str]:
    parts = [f"{now.members:,} networks in training"] if now.members else []
    return [*parts, f"{now.member_steps_per_s:,.0f} steps/s"] if now.member_steps_per_s else parts


def _best(search: SearchView) -> list[str]:
    """Tell the best score so far: of a trial that has ended, or of one in training that is better by now."""
    best, leading, direction = search.best, search.progress.leading, search.metric.direction
    ended = None if best is None else best.score
    if leading is not None and (ended is None or direction.is_better(leading.score, than=ended)):
        return [f"best {search.metric.name} {score(leading.score)} (trial {leading.trial}, in training)"]
    return [] if best is None else [f"best {search.metric.name} {score(ended)} (trial {best.trial})"]


def packed(parts: Sequence[str], width: int, *, indent: str = "") -> list[str]:
    """Join parts to as few lines of at most `width` characters as they fit in; no part is cut.

    Args:
        parts: short texts.
        width: of a line.
        indent: what each line after the first begins with.
    """
    lines: list[str] = []
    for part in parts:
        if lines and len(lines[-1]) + len(_BETWEEN) + len(part) <= width:
            lines[-1] += _BETWEEN + part
        else:
            lines.append(f"{indent}{part}" if lines else part)
    return lines


_BETWEEN = " · "


def span(seconds: float) -> str:
    """Format a duration in its two largest units: hours and minutes, or minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
