"""Find the master: from options, from the environment, or from the data folder of a master on this machine."""

from __future__ import annotations

import os
from pathlib import Path

from foldstep.client import Foldstep
from foldstep.service.contract.errors import Conflict, FoldstepError, Unauthorized, Unavailable
from foldstep.service.db.lock import is_free

DEFAULT_DIR = Path("foldstep-data")


def connect(url: str | None, token: str | None, data_dir: Path) -> Foldstep:
    """Make a client for the master that the options name.

    Args:
        url: its address; None for `FOLDSTEP_URL`, then for the master that serves `data_dir`.
        token: None for `FOLDSTEP_TOKEN`, then for the token file in `data_dir`.
        data_dir: data folder of a master on this machine.

    Raises:
        Unavailable: no address is known.
        Unauthorized: no token is known.
    """
    return Foldstep(find_url(url, data_dir), find_token(token, data_dir))


def master_of(data_dir: Path) -> Foldstep | None:
    """Make a client for the master that serves a data folder on this machine; None if none answers.

    Raises:
        Unauthorized: it answers, but `FOLDSTEP_TOKEN` or the folder's token is not its own.
        Conflict: it answers, but is of another version.
    """
    url = _first_line(data_dir / "address")
    if url is None:
        return None
    master = Foldstep(url, find_token(None, data_dir), patience_s=5.0)
    return master if _answers(url, data_dir) else None


def _answers(url: str, data_dir: Path) -> bool:
    """Tell whether the master of a folder answers there; one that was killed leaves its address behind."""
    probe = Foldstep(url, find_token(None, data_dir))
    try:
        probe.workers()
    except Unauthorized:
        if is_free(data_dir):  # a master of another folder listens there by now
            return False
        raise
    except Conflict:
        raise
    except FoldstepError:
        return False
    finally:
        probe.close()
    return True


def find_url(url: str | None, data_dir: Path) -> str:
    """Find the master's address; see `connect`."""
    found = url or os.environ.get("FOLDSTEP_URL") or _first_line(data_dir / "address")
    if not found:
        raise Unavailable(
            f"No master serves {data_dir}. Start one with `foldstep serve --dir {data_dir}`, "
            "or name one with --url and --token-file."
        )
    return found


def find_token(token: str | None, data_dir: Path) -> str:
    """Find the master's token; see `connect`."""
    found = token or os.environ.get("FOLDSTEP_TOKEN") or _first_line(data_dir / "token")
    if not found:
        raise Unauthorized(f"No token is known. Pass --token-file, set FOLDSTEP_TOKEN, or name the folder with --dir; "
                           f"{data_dir / 'token'} is not there.")  # fmt: skip
    return found


def _first_line(path: Path) -> str | None:
    try:
        return path.read_text().strip() or None
    except OSError:
        return None
