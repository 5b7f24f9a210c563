"""A data folder with a migrated database and with scikit-learn's small data sets read, made once a run of the tests.

Masters that tests start begin with a copy, which saves each of them two seconds. That a master makes all of it by
itself is tested where folders are empty: in `tests/service/test_app.py` and wherever `foldstep run` starts one.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from pathlib import Path
from tempfile import mkdtemp

from foldstep.service.db.engine import Database
from foldstep.service.db.migrate import upgrade
from foldstep.service.flow.context import Context, utc_now
from foldstep.service.flow.reading import read_bundled
from foldstep.service.flow.watch import watch_of
from foldstep.service.settings import Settings

VARIABLE = "FOLDSTEP_TEST_TEMPLATE"
"""The folder in which the processes of a run find the template."""
_READ = ("iris", "digits", "wine")


def begin() -> None:
    """Give this run of the tests, with all its processes, a template of its own; it is made when it is first used."""
    os.environ[VARIABLE] = mkdtemp(prefix="foldstep-template-")


def end() -> None:
    shutil.rmtree(os.environ.pop(VARIABLE), ignore_errors=True)


def copy_to(data_dir: Path, *, with_database: bool) -> None:
    """Make a data folder as a copy of the template, where there is none yet."""
    if data_dir.exists():
        return
    made = _template()
    data_dir.mkdir(mode=0o700, parents=True)
    shutil.copytree(made / "datasets", data_dir / "datasets")
    if with_database:
        shutil.copy(made / "foldstep.db", data_dir)


def _template() -> Path:
    folder = Path(os.environ[VARIABLE])
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two processes may want it first
        if not (folder / "whole").exists():
            before = os.umask(0o077)
            _make(folder)
            os.umask(before)
            (folder / "whole").touch()
    return folder


def _make(folder: Path) -> None:
    settings = Settings(data_dir=folder)
    database = Database(settings.resolved_database_url)
    upgrade(database)
    context = Context(database, settings, utc_now, watch_of(settings))
    for name in _READ:
        read_bundled(context, name)
    database.close()
