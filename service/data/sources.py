"""The data that a spec may name: scikit-learn's bundled sets, and files below the allowed roots."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from foldstep.service.contract.errors import DatasetUnreadable, Fault, PathNotAllowed
from foldstep.service.contract.near_file import missing_file_hint

BUNDLED = ("digits", "iris", "wine", "breast_cancer", "diabetes")
"""Names of the data sets that scikit-learn ships; their target column is `target`."""
BUNDLED_TARGET = "target"

_URL = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*://")


def refusal(code: str, *, expected: str, got: str | None, hint: str | None = None) -> DatasetUnreadable:
    """Make the error for data that cannot be read, with one fault that gives the reason."""
    fault = Fault(code=code, path="data.dataset", expected=expected, got=got, hint=hint)
    end = "" if str(fault).endswith("?") else "."
    return DatasetUnreadable(f"The data cannot be read: {fault}{end}", faults=[fault])


def resolve_path(
    source: str, roots: Sequence[Path], known: Sequence[str] = BUNDLED, private: Sequence[Path] = ()
) -> Path:
    """Find the file that `source` names, following symbolic links.

    Hidden files and folders (`.env`, `.git`, `.ssh`) are never read: what is in them is not meant for others.

    Args:
        source: an absolute path, or one relative to a root; the first root that has the file wins.
        roots: folders that may be read, with everything below them.
        known: the names of data sets, of which the user may have meant one.
        private: files, and folders with everything below them, that are never read, as the master's own.

    Raises:
        PathNotAllowed: it lies outside the roots, is hidden or private, whether or not such a file exists.
        DatasetUnreadable: it is a URL (`url_not_supported`), or no such file exists (`file_not_found`).
    """
    if _URL.match(source):
        raise refusal(
            "url_not_supported", expected="a file or a bundled set", got=source, hint="download it, or upload the file"
        )
    if "\0" in source:
        raise refusal("file_not_found", expected="a path", got=repr(source))
    real_roots = [root.resolve() for root in roots]
    try:
        candidates = [(root / source).resolve() for root in real_roots]
        own = [path.resolve() for path in private]
        allowed = [
            path
            for path in candidates
            if any(_is_below(path, root) for root in real_roots) and not any(path.is_relative_to(one) for one in own)
        ]
        if not allowed:
            raise _not_allowed(source, real_roots)
        found = next((path for path in allowed if path.is_file()), None)
    except (OSError, RuntimeError, UnicodeError):  # an invalid file name, or circular symbolic links
        found = None
    if found is None:
        raise _not_found(source, real_roots, known)
    return found


def _is_below(path: Path, root: Path) -> bool:
    """Tell whether a path lies below a root, and no name of it from there on is hidden."""
    return path.is_relative_to(root) and not any(name.startswith(".") for name in path.relative_to(root).parts)


def _not_found(source: str, roots: Sequence[Path], known: Sequence[str]) -> DatasetUnreadable:
    try:
        hint = missing_file_hint(source, roots, known)
    except (OSError, RuntimeError, UnicodeError):  # no valid name of a file
        hint = None
    return refusal("file_not_found", expected="a file, or one of " + ", ".join(BUNDLED), got=source, hint=hint)


def _not_allowed(source: str, roots: Sequence[Path]) -> PathNotAllowed:
    where = " or ".join(map(str, roots)) or "no folder at all"
    fault = Fault(
        code="path_not_allowed",
        path="data.dataset",
        expected=f"a file below {where}, neither hidden nor the master's own",
        got=source,
        hint="move or upload the file, or start the master with another data root (FOLDSTEP_DATA_ROOTS)",
    )
    return PathNotAllowed(f"{fault}.", faults=[fault])
