"""Parts shared by the commands: options, consoles, exit codes, and the display of errors."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, ParamSpec

import typer
from pydantic import BaseModel
from rich.console import Console
from rich.markup import escape

from foldstep.service.contract.document import ABOUT_SPECS, Lines, load_document
from foldstep.service.contract.errors import Fault, FoldstepError, InvalidInput
from foldstep.service.contract.near_file import missing_file_hint
from foldstep.service.data.recognise import is_table

REFUSED, USAGE, NO_WINNER, CHECKS_FAILED, INTERRUPTED = 1, 2, 3, 3, 130

P = ParamSpec("P")

out = Console()
err = Console(stderr=True)

Url = Annotated[str | None, typer.Option("--url", help="Address of the master; else FOLDSTEP_URL, else from --dir.")]


def _token_in(file: str | None) -> str | None:
    """Read the token in a file; a token on the command line would stand in the list of processes."""
    if file is None:
        return None
    try:
        token = (sys.stdin.readline() if file == "-" else Path(file).read_text(encoding="utf-8")).strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise InvalidInput(f"The token file cannot be read: {reason}. --token-file takes the path of a file, "
                           "- for standard input.") from None  # fmt: skip
    if not token:
        raise InvalidInput("The token file is empty; the master's own token is in the file `token` of its data folder.")
    return token


Token = Annotated[
    str | None,
    typer.Option(
        "--token-file",
        metavar="FILE",
        callback=_token_in,
        help="File with its token, - for standard input; else FOLDSTEP_TOKEN, else from --dir.",
    ),
]
Dir = Annotated[Path, typer.Option("--dir", help="Data folder of the master on this machine.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")]
SearchId = Annotated[str, typer.Argument(metavar="ID", help="Search: its id, its name, or the beginning of its id.")]
Yes = Annotated[bool, typer.Option("--yes", help="Delete without asking.")]
SpecFile = Annotated[str, typer.Argument(metavar="SPEC", help="YAML or JSON file; - for standard input.")]
SpecOrTable = Annotated[
    str,
    typer.Argument(
        metavar="SPEC|TABLE",
        help="YAML or JSON file, - for standard input; or a table alone: CSV or Parquet file, or bundled set.",
    ),
]
Targets = Annotated[
    list[str] | None,
    typer.Option("--target", metavar="COLUMN", help="Of a table: the column to predict; of several, repeatable."),
]
Time = Annotated[str | None, typer.Option("--time", help="Of a table: how long to search: 90s, 10m, 2h; else 2m.")]
MetricOption = Annotated[
    str | None, typer.Option("--metric", metavar="NAME", help="Of a table: what ranks the trials; else by its target.")
]
PrintSpec = Annotated[
    bool, typer.Option("--print-spec", help="Print the spec with all that is left out filled in; train nothing.")
]
Force = Annotated[bool, typer.Option("--force", help="Continue in spite of failed checks (checks: {force: true}).")]
Workers = Annotated[
    int | None, typer.Option("--workers", min=1, help="Worker processes; one a GPU or CPU core when left out.")
]


def read_spec(path: str) -> dict[str, Any]:
    """Read the mapping in a spec file.

    Raises:
        InvalidInput: the file cannot be read, is not UTF-8 text, or holds no mapping.
        SpecInvalid: the text is not YAML.
    """
    try:
        text = sys.stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise no_file(Path(path), "spec_unreadable") from None
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        fault = Fault(code="spec_unreadable", path="", expected="a YAML or JSON file", got=f"{path}: {reason}")
        raise InvalidInput(f"The spec {path} cannot be read: {reason}.", faults=[fault]) from None
    spec = load_document(text).value
    if not isinstance(spec, dict):
        fault = Fault(code="wrong_type", path="", expected="a mapping", got=type(spec).__name__)
        raise InvalidInput(f"The spec {path} is no mapping of keys to values.", faults=[fault])
    return spec


def no_file(path: Path, code: str = "no_file") -> InvalidInput:
    """Make the refusal of a path at which there is no file: where it was looked for, and what was probably meant."""
    hint = missing_file_hint(str(path), [path.parent if path.is_absolute() else Path.cwd()])
    fault = Fault(code=code, path="", expected="a file", got=str(path), hint=hint)
    end = "" if hint.endswith("?") else "."
    return InvalidInput(f"There is no file {path}; {hint}{end}", faults=[fault])


def names_lines(command: Callable[P, None]) -> Callable[P, None]:
    """Make a command that reads a spec name the file and the line of every fault of it."""

    @wraps(command)
    def placed(*args: P.args, **kwargs: P.kwargs) -> None:
        path = str(kwargs["spec"])
        try:
            command(*args, **kwargs)
        except ABOUT_SPECS as error:
            if path == "-" or is_table(path):
                raise
            raise lines_of(path).place(error, Path(path).name) from None

    return placed


def lines_of(path: str) -> Lines:
    """Read the lines of a spec file; none where it has no keys because of the faults that are to be placed."""
    try:
        return load_document(Path(path).read_text(encoding="utf-8")).lines
    except FoldstepError:
        return Lines(None)


def forced(spec: dict[str, Any]) -> dict[str, Any]:
    """Set `checks.force` in a copy of the spec; one whose `checks` is no mapping is left for the master to refuse."""
    checks = spec.get("checks", {})
    return {**spec, "checks": {**checks, "force": True}} if isinstance(checks, dict) else spec


def is_interactive() -> bool:
    """Tell whether a person can be asked: input and output are a terminal."""
    return sys.stdin.isatty() and out.is_terminal


def print_json(value: BaseModel | Iterable[BaseModel] | Any) -> None:
    """Print records as JSON on standard output."""
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json")
    elif isinstance(value, list):
        value = [v.model_dump(mode="json") if isinstance(v, BaseModel) else v for v in value]
    sys.stdout.write(json.dumps(value, indent=2, allow_nan=False) + "\n")


def show_error(error: FoldstepError) -> None:
    """Print an error on standard error: one sentence, or one line for each fault where there are several."""
    if len(error.faults) > 1:
        first = f", the first {len(error.faults)}" if error.n_faults > len(error.faults) else ""
        err.print(f"[red]{error.n_faults} faults[/] ({error.code}){first}:", highlight=False)
        for fault in error.faults:
            err.print(f"  [bold]{fault.code}[/]  {escape(str(fault))}", highlight=False, soft_wrap=True)
        return
    err.print(f"[red]{error.code}[/]: {escape(error.message)}", highlight=False, soft_wrap=True)


def exit_code_of(error: BaseException) -> int:
    """Choose the exit code for what ended a command, and print a refusal; raise anything that is a fault of ours."""
    if isinstance(error, FoldstepError):
        show_error(error)
        return REFUSED
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    if isinstance(error, BrokenPipeError):
        close_standard_output()
        return REFUSED
    raise error


@contextmanager
def terminated_as_interrupt() -> Iterator[None]:
    """Treat SIGTERM like Ctrl-C within the block, so that child processes are ended properly."""
    previous = signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def confirmed(what: str, *, yes: bool) -> bool:
    """Ask before something is deleted for good, unless the answer was given beforehand.

    Raises:
        InvalidInput: there is nobody to ask.
    """
    if yes:
        return True
    if not sys.stdin.isatty():
        raise InvalidInput(f"Nothing is deleted: there is no terminal to ask on. To delete {what}, add --yes.")
    if typer.confirm("Delete it for good?"):
        return True
    out.print("Nothing is deleted.")
    return False


def quiet_exit(code: int) -> None:
    """Exit with a code other than 0 without printing anything; do nothing for 0."""
    if code:
        raise typer.Exit(code)


def close_standard_output() -> None:
    """Redirect standard output to the null device, once its reader has closed the pipe (`foldstep … | head`)."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
