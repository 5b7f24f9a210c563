"""Find the data file that a spec names, and send it to the master where it is not there yet."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from foldstep.client import Foldstep
from foldstep.options import err
from foldstep.service.contract.dataset import Dataset
from foldstep.service.contract.errors import FoldstepError, InvalidInput, NameTaken, NotFound
from foldstep.service.contract.parse import parse_spec
from foldstep.service.contract.reading import ReadingOptions
from foldstep.service.contract.spec import MASTER_PREFIX
from foldstep.service.contract.submit import NAME_PATTERN
from foldstep.service.data.sources import BUNDLED, refusal

OnProgress = Callable[[int, int], object]


def data_folders(spec_path: str) -> list[Path]:
    """List where the data file of a spec is looked for: beside the spec, and in the working directory."""
    folders = [Path.cwd()] if spec_path == "-" else [Path(spec_path).absolute().parent, Path.cwd()]
    return list(dict.fromkeys(folders))


def data_file(spec: dict[str, Any], spec_path: str) -> Path | None:
    """Find the file on this machine that a spec names, beside the spec first; None where it names none."""
    data = spec.get("data")
    source = data.get("dataset") if isinstance(data, dict) else None
    if not isinstance(source, str) or source in BUNDLED or "\0" in source:
        return None
    candidates = [folder / Path(source).expanduser() for folder in data_folders(spec_path)]
    return next((path.resolve() for path in candidates if path.is_file()), None)


def with_dataset(spec: dict[str, Any], dataset: str) -> dict[str, Any]:
    """Replace what a spec calls its data."""
    return {**spec, "data": {**spec["data"], "dataset": dataset}}


def with_data_sent(master: Foldstep, spec: dict[str, Any], spec_path: str) -> dict[str, Any]:
    """Send the data file that a spec names, unless the master has it; the spec that is returned names it there.

    Names of bundled and registered data sets stay, and so does `master:path`, a file of the master's.

    Args:
        master: the master.
        spec: as the user wrote it.
        spec_path: path of the spec's file, `-` for standard input.

    Raises:
        SpecInvalid: the spec has faults; nothing is sent then.
        DatasetUnreadable: the file is not here, and the master does not know the name; or it is not a table.
    """
    data = parse_spec(spec).data
    file = data_file(spec, spec_path)
    if file is not None:
        return with_dataset(spec, send(master, file, data.reading).name)
    if not _is_the_masters(master, data.dataset):
        raise _not_found(data.dataset, data_folders(spec_path))
    return spec


def send(master: Foldstep, file: Path, options: ReadingOptions) -> Dataset:
    """Send a file unless the master has it, and register it under its own name, or a longer one if that is taken.

    Raises:
        InvalidInput: the file cannot be read.
        DatasetUnreadable: it is not a table.
    """
    with sending(file) as on_progress:
        sha256 = master.upload_file(file, on_progress=on_progress)
    name = dataset_name(file.name)
    longer = f"{name[: len(name) - len(Path(name).suffix)]}-{sha256[:8]}{Path(name).suffix}"
    if name in BUNDLED:
        return master.register_dataset(longer, file.name, file=sha256, options=options)
    try:
        return master.register_dataset(name, file.name, file=sha256, options=options)
    except NameTaken:
        return master.register_dataset(longer, file.name, file=sha256, options=options)


@contextmanager
def sending(file: Path) -> Iterator[OnProgress]:
    """Show a bar while a file is sent, on a terminal; refuse a file that cannot be read in one sentence."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn("Sending {task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    try:
        with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as progress:
            task = progress.add_task(file.name, visible=False)
            yield lambda sent, size: progress.update(task, completed=sent, total=size, visible=True)
    except OSError as error:
        raise InvalidInput(f"The file {file} cannot be read: {error.strerror or error}.") from None


def dataset_name(file_name: str) -> str:
    """Make a name that a data set can have from that of a file: letters without accents, dashes for the rest."""
    plain = unicodedata.normalize("NFKD", file_name).encode("ascii", "ignore").decode()
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", plain).lstrip("._-")[-180:].lstrip("._-")
    return name if NAME_PATTERN.fullmatch(name) else "table"


def _is_the_masters(master: Foldstep, source: str) -> bool:
    """Tell whether the master is to say what a source is: a set that it knows, a file of its own, or a URL."""
    if source in BUNDLED or source.startswith(MASTER_PREFIX) or "://" in source:
        return True
    if not NAME_PATTERN.fullmatch(source):
        return False
    try:
        master.dataset(source)
    except NotFound:
        return False
    return True


def _not_found(source: str, folders: list[Path]) -> FoldstepError:
    names = [entry.name for folder in folders for entry in folder.iterdir() if entry.is_file()]
    near = difflib.get_close_matches(Path(source).name, names, n=1)
    advice = [f"the nearest file name there is {near[0]}"] if near else []
    advice.append(f"{MASTER_PREFIX}{source} names a file of the master's")
    places = " or ".join(map(str, folders))
    found = "is a folder" if any((folder / source).is_dir() for folder in folders) else f"is not in {places}"
    return refusal(
        "file_not_found",
        expected="a file on this machine, a data set that the master knows, or one of " + ", ".join(BUNDLED),
        got=f"{source}, which {found}",
        hint="; ".join(advice),
    )
