"""`data`: report on a table before anything trains."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from foldstep.connect import DEFAULT_DIR, connect
from foldstep.options import Dir, Json, Token, Url, no_file, out, print_json
from foldstep.service.contract.dataset import DataReport
from foldstep.service.contract.errors import Fault, InvalidInput
from foldstep.service.contract.reading import ReadingOptions

_COLUMN_TYPES = "Overrule a column's kind: --type day=date (number, category, date or ignore); repeatable."


def data(
    file: Annotated[str, typer.Argument(metavar="FILE", help="CSV or Parquet file, bundled set, or name at a master.")],
    target: Annotated[
        list[str] | None, typer.Option("--target", help="The column to predict; of several, repeatable.")
    ] = None,
    types: Annotated[list[str] | None, typer.Option("--type", metavar="COLUMN=KIND", help=_COLUMN_TYPES)] = None,
    missing: Annotated[list[str] | None, typer.Option(help="A text that means no value; repeatable.")] = None,
    not_missing: Annotated[list[str] | None, typer.Option(help="A text, as NA, that is a value; repeatable.")] = None,
    decimal: Annotated[str | None, typer.Option(help="The decimal sign: . or ,")] = None,
    dates: Annotated[str | None, typer.Option(help="day_first, month_first or year_first.")] = None,
    encoding: Annotated[str | None, typer.Option(help="Of a text file that is not UTF-8.")] = None,
    url: Url = None,
    token: Token = None,
    data_dir: Dir = DEFAULT_DIR,
    as_json: Json = False,
) -> None:
    """Report on a table: how each column is read, what becomes of it, and what is odd. Nothing is trained."""
    said = {"types": _types(types or []), "missing": missing or [], "not_missing": not_missing or []}
    options = _options({**said, "decimal": decimal, "dates": dates, "encoding": encoding})
    found = _local(file, target or [], options)
    if found is None:
        found = connect(url, token, data_dir).data_report(file, *(target or []))
    if as_json:
        print_json(found)
        return
    from foldstep.display_data import report

    for part in report(found, out.width):
        out.print(part)


def _types(pairs: list[str]) -> dict[str, str]:
    """Split COLUMN=KIND at the last sign, since names of columns may have one."""
    split = [pair.rpartition("=") for pair in pairs]
    odd = next((pair for pair, (name, _, _) in zip(pairs, split, strict=True) if not name), None)
    if odd is not None:
        raise InvalidInput(f"Expected COLUMN=KIND after --type, as day=date, got {odd}.")
    return {name: kind for name, _, kind in split}


def _options(said: dict[str, Any]) -> ReadingOptions:
    try:
        return ReadingOptions.model_validate(said)
    except ValidationError as error:
        faults = [_fault(e) for e in error.errors(include_url=False)]
        raise InvalidInput(f"The table cannot be read so: {faults[0]}.", faults=faults) from None


def _fault(error: Any) -> Fault:
    path = ".".join(map(str, error["loc"]))
    return Fault(code="out_of_domain", path=f"data.{path}", expected=str(error["msg"]).removeprefix("Input should be "),
                 got=repr(error["input"]))  # fmt: skip


def _local(file: str, targets: list[str], options: ReadingOptions) -> DataReport | None:
    """Report on a file of this machine or a bundled set; None where there is neither."""
    from foldstep.service.data.sources import BUNDLED

    if not Path(file).exists() and file not in BUNDLED:
        if Path(file).suffix:
            raise no_file(Path(file))
        return None
    from foldstep.service.data.ingest import ingest
    from foldstep.service.data.target_report import report

    with TemporaryDirectory(prefix="foldstep-") as folder:
        source = file if file in BUNDLED and not Path(file).exists() else Path(file)
        description = ingest(source, into=Path(folder), shown_as=file, options=options)
        return report(description, Path(folder) / f"{description.fingerprint}.parquet", targets)
