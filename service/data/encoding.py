"""Bring a text file to UTF-8, saying what was guessed, and find faults that only its raw lines show."""

from __future__ import annotations

import codecs
import gzip
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO

from foldstep.service.contract.dataset import Finding
from foldstep.service.data.recognise import GZIP_MAGIC, check_head
from foldstep.service.data.sources import refusal

_UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_FALLBACK = "windows-1252"
_BLOCK = 1 << 20
_CONFLICT = re.compile(rb"^(<<<<<<< |=======\r?$|>>>>>>> )", re.MULTILINE)


@contextmanager
def utf8_file(path: Path, said: str | None) -> Iterator[tuple[Path, list[Finding]]]:
    """Yield the path of a plain UTF-8 file with the same text, and what was guessed; temporary unless it is `path`.

    Args:
        path: a text file, perhaps packed with gzip.
        said: the encoding that the user names.

    Raises:
        DatasetUnreadable: `empty_file`, `wrong_file_type`, `conflict_markers`, `mixed_encodings`, `not_utf8` or
            `unknown_encoding`.
    """
    with path.open("rb") as file:
        is_gzip = file.read(2) == GZIP_MAGIC
    found = _check(path, is_gzip) if said is None else _known(said)
    if found is None and not is_gzip:
        yield path, []
        return
    with TemporaryDirectory(prefix="foldstep-") as folder:
        plain = Path(folder) / "plain.csv"
        _transcode(path, is_gzip, found or "utf-8", plain)
        yield plain, _findings(path, is_gzip, found) if said is None else []


def _known(encoding: str) -> str:
    try:
        return codecs.lookup(encoding).name
    except LookupError:
        hint = "as utf-8, windows-1252, windows-1251, shift_jis"
        fault = refusal("unknown_encoding", expected="a text encoding that Python knows", got=encoding, hint=hint)
        raise fault from None


def _open(path: Path, is_gzip: bool) -> IO[bytes]:
    return gzip.open(path, "rb") if is_gzip else path.open("rb")  # type: ignore[return-value]


def _check(path: Path, is_gzip: bool) -> str | None:
    """Check a file's text in one pass; return the encoding to read it by, None for UTF-8."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    n_lines, n_blocks, n_wide, is_last = 1, 0, 0, False
    with _open(path, is_gzip) as file:
        while not is_last:
            block = file.read(_BLOCK)
            is_last = not block
            if n_blocks == 0 and block:
                if block.startswith(_UTF16_MARKS):
                    return "utf-16"
                check_head(block)
            _check_bytes(block, n_lines)
            try:
                text = decoder.decode(block, final=is_last)
            except UnicodeDecodeError as error:
                line = n_lines + error.object[: error.start].count(b"\n")
                n_wide += sum(byte >= 0x80 for byte in error.object[: error.start])
                return _fallback(path, is_gzip, line, is_mixed=n_wide > 0)
            n_wide += len(block) - len(text)
            n_lines += block.count(b"\n")
            n_blocks += bool(block)
    if n_blocks == 0:
        raise refusal("empty_file", expected="a table", got="an empty file")
    return None


def _check_bytes(block: bytes, n_lines: int) -> None:
    """Refuse zero bytes, and lines that a merge left behind."""
    if b"\0" in block:
        got, hint = "other binary data", "save it as CSV"
        raise refusal("wrong_file_type", expected="a CSV or Parquet file", got=got, hint=hint)
    _check_conflicts(block, n_lines)


def _check_conflicts(block: bytes, n_lines: int) -> None:
    if not block.startswith(b"<<<<<<< ") and b"\n<<<<<<< " not in block:
        return
    marks = list(_CONFLICT.finditer(block))
    if any(mark[0].startswith(b"<") for mark in marks) and any(mark[0].startswith((b">", b"=")) for mark in marks):
        line = n_lines + block[: marks[0].start()].count(b"\n")
        got = f"what seems to be an unresolved merge: conflict markers, the first in line {line}"
        raise refusal("conflict_markers", expected="a table", got=got, hint="resolve the merge, then save the file")


def _fallback(path: Path, is_gzip: bool, line: int, *, is_mixed: bool) -> str:
    """Choose Windows-1252 for a file that is not UTF-8, unless other parts of it are."""
    with _open(path, is_gzip) as file:
        lines = file.read(64 * _BLOCK).split(b"\n")
    n_utf8 = sum(_is_wide_utf8(one) for one in lines)
    if is_mixed or n_utf8:
        got = f"what seems to be a mixture: other bytes in line {line}, UTF-8 in others"
        hint = "save the file in one encoding, UTF-8 at best, or say data.encoding"
        raise refusal("mixed_encodings", expected="text in one encoding", got=got, hint=hint)
    try:
        for one in lines:
            one.decode(_FALLBACK)
    except UnicodeDecodeError:
        got = f"other bytes in line {line}"
        hint = "save the file as UTF-8, or say data.encoding"
        raise refusal("not_utf8", expected="UTF-8 text", got=got, hint=hint) from None
    return _FALLBACK


def _is_wide_utf8(line: bytes) -> bool:
    """Tell whether a line has characters beyond ASCII and is UTF-8."""
    if line.isascii():
        return False
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _transcode(path: Path, is_gzip: bool, encoding: str, plain: Path) -> None:
    decoder = codecs.getincrementaldecoder(encoding)()
    with _open(path, is_gzip) as source, plain.open("wb") as out:
        while block := source.read(_BLOCK):
            out.write(_decoded(decoder, block, encoding, final=False))
        out.write(_decoded(decoder, b"", encoding, final=True))


def _decoded(decoder: codecs.IncrementalDecoder, block: bytes, encoding: str, *, final: bool) -> bytes:
    try:
        return decoder.decode(block, final=final).encode("utf-8")
    except UnicodeDecodeError:
        hint = "say another data.encoding, or save the file as UTF-8"
        raise refusal("not_utf8", expected=f"text in {encoding}", got="other bytes", hint=hint) from None


def _findings(path: Path, is_gzip: bool, encoding: str | None) -> list[Finding]:
    found = []
    if is_gzip and path.suffix != ".gz":
        found.append(Finding(code="unpacked", columns=(), sentence=f"{path.name} is packed with gzip: unpacked."))
    if encoding is not None:
        sentence = f"{path.name} is not UTF-8: read as {encoding.capitalize()}."
        setting = "data.encoding: NAME, where letters come out wrong"
        found.append(Finding(code="encoding", columns=(), sentence=sentence, setting=setting))
    return found
