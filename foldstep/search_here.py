"""`foldstep.search`: a search from a notebook or a script, with a master and workers that it starts itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, nullcontext
from hashlib import sha256
from os import PathLike, fspath
from pathlib import Path
from typing import Any

from rich.console import Console

from foldstep.display_progress import Watch
from foldstep.estimator_input import plain, write_columns
from foldstep.estimator_search import ended, place_of, submitted, table_path, taken_home
from foldstep.estimator_service import Service, service
from foldstep.frames import as_arrow
from foldstep.options import lines_of
from foldstep.search_result import SearchResult
from foldstep.sending import data_file, with_data_sent, with_dataset
from foldstep.service.contract.document import ABOUT_SPECS
from foldstep.service.contract.errors import Fault, InvalidInput
from foldstep.service.contract.leaderboard import SearchView
from foldstep.service.data.recognise import is_table
from foldstep.source import Source, search_name

_IN_NO_FILE = "-"


def search(  # noqa: PLR0913 - Long: one argument a line, and what each is
    spec: Mapping[str, Any] | str | PathLike[str] | Any = None,
    data: Any = None,
    *,
    target: str | Sequence[str] | None = None,
    metric: str | Mapping[str, Any] | None = None,
    time_limit: float | str | None = None,
    n_trials: int | None = None,
    n_workers: int | None = None,
    data_dir: str | PathLike[str] | None = None,
    progress: bool = True,
) -> SearchResult:
    """Run a search to its end on this machine, and take home what it found.

    The first search of a process starts a master and workers, which stay for the next one and end with the process.

    Args:
        spec: a spec as a mapping, or the path of its YAML or JSON file; or a table alone, as `data`.
        data: the table, in place of the one that the spec names: a DataFrame of pandas or polars, an Arrow table, a
            mapping of columns, the path of a CSV or Parquet file, or the name of a bundled set.
        target: the column to predict, or several.
        metric: what ranks the trials; chosen for the table where neither this nor the spec says it.
        time_limit: how long to search: seconds, or text such as "10m".
        n_trials: how many trials to search.
        n_workers: worker processes; None for one a GPU or CPU core.
        data_dir: folder in which the search stays, and in which an unfinished one of the same spec and data resumes;
            None for a temporary one.
        progress: whether a line says how far the search is.

    Raises:
        InvalidInput: the spec or the table cannot be used; `faults` has each reason.
        NothingTrained: the search ended without a score.
    """
    wanted = {"target": target, "metric": metric, "time_limit": time_limit, "n_trials": n_trials}
    source, table = _source(spec, data, wanted)
    place = place_of(data_dir, n_workers)
    with ExitStack() as stack, _naming_lines(source.path), _shown(progress) as watch:
        _say(watch, "Starting the master and its workers, where none are there yet")
        running = stack.enter_context(service(place.data_dir, place.n_workers))
        master = stack.enter_context(closing(running.client()))
        keep = place.data_dir is not None
        with _written(source, table, running, keep=keep) as content:
            _say(watch, "Reading the data and checking the spec")
            begun = stack.enter_context(submitted(running, master, content, keep=keep, resumes=keep))
        seen = ended(running, begun, _introduced(watch, begun))
        found = taken_home(master, seen)
        return SearchResult(found, master, stack.pop_all())


def _source(spec: Any, data: Any, wanted: Mapping[str, Any]) -> tuple[Source, Any]:
    """Make the spec of what was asked for, and find the table in memory that it is about; None where it is a file."""
    if data is None and _is_data(spec):
        spec, data = None, spec
    if spec is None and data is None:
        raise InvalidInput('Say what to search: a spec, or a table and its column to predict: data=table, target="y".')
    source = _read(spec)
    content = _filled(source.content, wanted)
    if data is None:
        return Source(_named(content), source.path), None
    if isinstance(data, str | PathLike):
        return Source(_named(_with_data(content, {"dataset": fspath(data)})), _IN_NO_FILE), None
    return Source(_named(_with_data(content, {"dataset": "table"})), source.path), data


def _is_data(spec: Any) -> bool:
    """Tell whether what was given in place of a spec is a table: a file of one, or no mapping that could be a spec."""
    if isinstance(spec, str | PathLike):
        return is_table(fspath(spec))
    return spec is not None and not isinstance(spec, Mapping)


def _read(spec: Any) -> Source:
    if isinstance(spec, str | PathLike):
        return Source.of_spec(fspath(spec))
    return Source(plain(spec or {}), _IN_NO_FILE)


_PLACES = {
    "target": ("data", "target"),
    "metric": ("metric",),
    "time_limit": ("budget", "time"),
    "n_trials": ("budget", "trials"),
}
"""Where the arguments of `search` stand in a spec."""


def _filled(content: dict[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Write the arguments that were given into a copy of a spec.

    Raises:
        InvalidInput: the spec says something else there.
    """
    for name, value in wanted.items():
        if value is not None:
            said = list(value) if name == "target" and not isinstance(value, str) else plain(value)
            content = _set(content, _PLACES[name], said, name)
    return content


def _set(content: dict[str, Any], place: Sequence[str], value: Any, name: str) -> dict[str, Any]:
    key, *rest = place
    there = content.get(key)
    if rest:
        inner = there if isinstance(there, Mapping) else {}
        return {**content, key: _set(dict(inner), rest, value, name)}
    if there is not None and there != value:
        path = ".".join(_PLACES[name])
        fault = Fault(code="contradiction", path=path, expected=f"one of the spec's {path} and {name}", got="both")
        raise InvalidInput(f"{name} and the spec's {path} differ: leave one of them out.", faults=[fault])
    return {**content, key: value}


def _named(content: dict[str, Any]) -> dict[str, Any]:
    """Name a search after its table where the spec does not name it."""
    data = content.get("data")
    dataset = data.get("dataset") if isinstance(data, Mapping) else None
    return {"name": search_name(dataset), **content} if isinstance(dataset, str) else content


def _with_data(content: dict[str, Any], said: Mapping[str, Any]) -> dict[str, Any]:
    """Name the table in a spec; what the spec says of how it is read stays."""
    data = content.get("data")
    return {**content, "data": {**(data if isinstance(data, Mapping) else {}), **said}}


@contextmanager
def _written(source: Source, table: Any, running: Service, *, keep: bool) -> Iterator[dict[str, Any]]:
    """Yield the spec as the master can read its data; a table in memory is a file meanwhile."""
    if table is None:
        is_here = data_file(source.content, source.path) is not None
        yield source.placed()[0] if is_here else with_data_sent(running.master, source.content, source.path)
        return
    with table_path(running.folder) as path:
        written = write_columns(path, as_arrow(table, ()))
        if keep:  # equal tables have one name, by which an unfinished search is found again
            path = path.rename(path.with_name(f"{sha256(path.read_bytes()).hexdigest()[:24]}.parquet"))
        own = source.content["data"]
        types = {**written.get("types", {}), **(own.get("types") or {})}
        data = {**written, **own, **({"types": types} if types else {})}
        try:
            yield with_dataset({**source.content, "data": data}, str(path))
        finally:
            path.unlink(missing_ok=True)


@contextmanager
def _naming_lines(path: str) -> Iterator[None]:
    """Name the file and the line of every fault of a spec that was read from a file."""
    try:
        yield
    except ABOUT_SPECS as error:
        if path == _IN_NO_FILE:
            raise
        raise lines_of(path).place(error, Path(path).name) from None


@contextmanager
def _shown(progress: bool) -> Iterator[Watch | None]:
    with Watch(Console()) if progress else nullcontext() as watch:
        yield watch


def _say(watch: Watch | None, doing: str) -> None:
    if watch is not None:
        watch.say(doing)


def _introduced(watch: Watch | None, begun: SearchView) -> Callable[[SearchView], object]:
    """Tell the notes of a search, and choose what shows its progress."""
    if watch is None:
        return lambda _: None
    for note in begun.notes:
        watch.tell(note)
    return watch.look
