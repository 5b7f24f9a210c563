"""`backup`, `restore`: of a whole installation."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from foldstep.connect import DEFAULT_DIR
from foldstep.options import Dir, err, out
from foldstep.service.contract.numbers import size
from foldstep.service.folder import keep_private

File = Annotated[Path, typer.Argument(metavar="FILE", help="The backup, a tar archive.")]


def backup(file: File, data_dir: Dir = DEFAULT_DIR) -> None:
    """Back up a master's database, checkpoints and data while it runs. The token is not in it."""
    from foldstep.service.flow.backup import back_up
    from foldstep.service.settings import settings_from_environment

    keep_private()
    settings = settings_from_environment({**os.environ, "FOLDSTEP_DATA_DIR": str(data_dir)})
    manifest = back_up(settings, file)
    n_bytes = sum(member.bytes for member in manifest.files.values())
    out.print(f"{file}: {len(manifest.files):,} files of {size(n_bytes)}, read back and checked.", highlight=False)
    for name in manifest.missing:
        err.print(f"Not in it, since the data folder does not have it: {name}", markup=False, highlight=False)


def restore(file: File, data_dir: Dir = DEFAULT_DIR) -> None:
    """Make a new data folder of a backup; every file is checked. FOLDSTEP_DATABASE_URL may name an empty Postgres."""
    from foldstep.service.flow.restore import restore as restore_from
    from foldstep.service.settings import settings_from_environment

    keep_private()
    settings = settings_from_environment({**os.environ, "FOLDSTEP_DATA_DIR": str(data_dir)})
    manifest = restore_from(file, settings)
    said = f"{len(manifest.files):,} files of {manifest.created_at} are in {data_dir}, checked."
    out.print(f"{said} Start it: foldstep serve --dir {data_dir}", highlight=False, markup=False)
