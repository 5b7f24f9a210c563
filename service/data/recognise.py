"""Tell by its first bytes what a file is, and refuse what is no table, saying what it seems to be."""

from __future__ import annotations

import json
import re
from pathlib import Path
from zipfile import BadZipFile, ZipFile

from foldstep.service.data.sources import BUNDLED, refusal

PARQUET_MAGIC, GZIP_MAGIC = b"PAR1", b"\x1f\x8b"
_ZIP_MAGIC = b"PK\x03\x04"
_HEAD_BYTES = 4096
_PACKED = re.compile(r"\.(gz|bz2|xz|zst|zip)$", re.IGNORECASE)
_SPEC_ENDINGS = (".yaml", ".yml", ".json")
_TABLE_ENDINGS = (".csv", ".tsv", ".tab", ".txt", ".parquet", ".pq", ".xlsx", ".xls", ".ods", ".feather", ".arff")

_OTHER_FILES: tuple[tuple[bytes, str, str], ...] = (
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook (.xls)", "save its sheet as CSV (UTF-8)"),
    (b"SQLite format 3\0", "an SQLite database", "export the table as CSV"),
    (b"%PDF", "a PDF document", "export the table as CSV"),
    (b"ARROW1", "an Arrow or Feather file", "save it as Parquet"),
    (b"FEA1\0", "a Feather file", "save it as Parquet"),
    (b"Obj\x01", "an Avro file", "save it as Parquet or CSV"),
    (b"\x89HDF", "an HDF5 file", "save the table as Parquet"),
    (b"\x93NUMPY", "a NumPy array", "save it as CSV with a line of names, or as Parquet"),
    (b"\x80\x04", "a Python pickle", "save the table as Parquet"),
    (b"\x80\x05", "a Python pickle", "save the table as Parquet"),
    (b"BZh91AY&SY", "a bzip2 archive", "unpack it, or pack it with gzip"),
    (b"\xfd7zXZ", "an xz archive", "unpack it, or pack it with gzip"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive", "unpack it, or pack it with gzip"),
    (b"7z\xbc\xaf", "a 7z archive", "unpack it, or pack it with gzip"),
    (b"Rar!", "a RAR archive", "unpack it, or pack it with gzip"),
    (b"RDX2\n", "an R workspace", "save the table with write.csv"),
    (b"RDX3\n", "an R workspace", "save the table with write.csv"),
    (b"$FL2@(#)", "an SPSS file (.sav)", "export it as CSV"),
    (b"<stata_dta>", "a Stata file (.dta)", "export it as CSV"),
    (b"{\\rtf", "a text document (RTF)", "save the table as CSV"),
    (b"\x89PNG", "a picture", "give the table itself"),
    (b"\xff\xd8\xff", "a picture", "give the table itself"),
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself", "fetch it with `git lfs pull`"),
)
_ZIPS = (
    (b"xl/", "an Excel workbook (.xlsx)", "save its sheet as CSV (UTF-8)"),
    (b"opendocument.spreadsheet", "an OpenDocument spreadsheet (.ods)", "save its sheet as CSV (UTF-8)"),
)
_NAMES_IN_ANGLES = re.compile(rb"\s*<[^<>\n]*>[,;\t|]\s*<")
"""A header such as `<DATE>,<OPEN>`, as programs of traders write it."""
_MARKUP = re.compile(rb"\s*<(!doctype|html|table|head|body|\?xml|[a-z]+[ >])", re.IGNORECASE)
_ARFF = re.compile(rb"\s*(%[^\n]*\n\s*)*@relation", re.IGNORECASE)


def is_table(path: str) -> bool:
    """Tell whether what a user names is meant as a table, not as a spec: by its ending, else by its first bytes.

    Kinds of tables that cannot be read are meant as tables, too: the reader says what to do about them.
    """
    if path in BUNDLED:
        return not Path(path).exists() or _seems_table(Path(path))
    ending = Path(_PACKED.sub("", path)).suffix.lower()
    return ending in _TABLE_ENDINGS or (ending not in _SPEC_ENDINGS and path != "-" and _seems_table(Path(path)))


def _seems_table(path: Path) -> bool:
    """Tell whether a file begins as no text does."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except (OSError, ValueError):
        return False
    return head.startswith((PARQUET_MAGIC, GZIP_MAGIC)) or b"\0" in head


def check_is_table(path: Path) -> None:
    """Refuse a folder, and a file that by its first bytes is neither Parquet nor text nor packed with gzip.

    Raises:
        DatasetUnreadable: `folder`, or `wrong_file_type` with what it seems to be.
    """
    if path.is_dir():
        hint = "name one of its files: " + _some_names(path)
        raise refusal("folder", expected="a file", got=f"the folder {path.name}", hint=hint)
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    check_head(head + _names_in_zip(path) if head.startswith(_ZIP_MAGIC) else head)


def _names_in_zip(path: Path) -> bytes:
    try:
        with ZipFile(path) as archive:
            return " ".join(archive.namelist()).encode()
    except (BadZipFile, OSError, ValueError, NotImplementedError):
        return b""


def check_head(head: bytes) -> None:
    """Refuse the first bytes of another kind of file; also those of the content of a packed file.

    Raises:
        DatasetUnreadable: `wrong_file_type`.
    """
    kind = _other_kind(head)
    if kind is not None:
        what, hint = kind
        raise refusal("wrong_file_type", expected="a CSV or Parquet file", got=f"what seems to be {what}", hint=hint)


def _other_kind(head: bytes) -> tuple[str, str] | None:
    for magic, what, hint in _OTHER_FILES:
        if head.startswith(magic):
            return what, hint
    if head.startswith(_ZIP_MAGIC):
        found = ((what, hint) for mark, what, hint in _ZIPS if mark in head)
        return next(found, ("a zip archive, perhaps an Excel workbook", "unpack it, or save the sheet as CSV"))
    if head.startswith(b"ORC") and b"\0" in head:
        return "an ORC file", "save it as Parquet"
    if head[257:262] == b"ustar":
        return "a tar archive", "unpack it"
    return _other_text(head.removeprefix(b"\xef\xbb\xbf"))


def _other_text(head: bytes) -> tuple[str, str] | None:
    if _MARKUP.match(head) and not _NAMES_IN_ANGLES.match(head):
        is_page = b"html" in head.lower() or b"<table" in head.lower()
        return ("an HTML page" if is_page else "an XML file"), "open it in a spreadsheet and save it as CSV"
    if _ARFF.match(head):
        return "an ARFF file (Weka)", "save it as CSV"
    first = head.lstrip()[:1]
    if first in (b"{", b"["):
        return _json_kind(head.lstrip())
    return None


def _json_kind(head: bytes) -> tuple[str, str] | None:
    line = head.split(b"\n", 1)[0].strip()
    try:
        value = json.loads(line)
    except ValueError:
        is_json = re.match(rb'[{\[]\s*("[^"]*"\s*:|[{\[\]"]|-?\d)', head) is not None
        return ("a JSON file", "save the table as CSV or Parquet") if is_json else None
    if isinstance(value, dict | list):
        is_lines = b"\n" in head.strip() and isinstance(value, dict)
        return ("JSON lines" if is_lines else "a JSON file"), "save the table as CSV or Parquet"
    return None


def _some_names(folder: Path) -> str:
    names = sorted(p.name for p in folder.iterdir() if p.is_file())[:5]
    return ", ".join(names) if names else "it has none"
