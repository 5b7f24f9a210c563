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
from foldstep.service.data.recognise import GZIP_MAGIC, PARQUET_MAGIC, check_head
from foldstep.service.data.sources import refusal

_UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_FALLBACK = "windows-1252"
_BLOCK = 1 << 20
_MARK = "\ufeff"
_UNPACKED_LEAST, _UNPACKED_TIMES = 16 << 20, 100
_FOREIGN = re.compile(rb"[\xc0-\xff]{4}")
"""Letters beyond ASCII side by side, which are rare in the languages that Windows-1252 is made for."""
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
        name = codecs.lookup(encoding).name
        b"a".decode(name)  # refuses what is no encoding of text, as hex
        return name
    except (LookupError, ValueError, AssertionError):
        hint = "as utf-8, windows-1252, windows-1251, shift_jis"
        fault = refusal("unknown_encoding", expected="a text encoding that Python knows", got=encoding, hint=hint)
        raise fault from None


def _open(path: Path, is_gzip: bool) -> IO[bytes]:
    return _Unpacked(path) if is_gzip else path.open("rb")  # type: ignore[return-value]


class _Unpacked(gzip.GzipFile):
    """What a packed file unpacks to: text is up to ten times its size, zeros made to fill a disk are 1,000 times."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, "rb")
        self._most = _UNPACKED_LEAST + _UNPACKED_TIMES * path.stat().st_size

    def read(self, size: int | None = -1) -> bytes:
        """Read as a file does.

        Raises:
            DatasetUnreadable: `unpacks_without_end`.
        """
        block = super().read(size)
        if self.tell() > self._most:
            expected = f"a packed file that unpacks to at most {_UNPACKED_TIMES} times its size"
            raise refusal("unpacks_without_end", expected=expected, got="one that goes on", hint="unpack it")
        return block


def _check(path: Path, is_gzip: bool) -> str | None:
    """Check a file's text in one pass; return the encoding to read it by, None for UTF-8 as it is."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    n_lines, n_blocks, n_wide, is_last, has_marks = 1, 0, 0, False, False
    with _open(path, is_gzip) as file:
        while not is_last:
            block = file.read(_BLOCK)
            is_last = not block
            if n_blocks == 0 and block:
                wide = _utf16(block)
                if wide is not None:
                    return wide
                _check_unpacked(block)
            _check_bytes(block, n_lines)
            try:
                text = decoder.decode(block, final=is_last)
            except UnicodeDecodeError as error:
                line = n_lines + error.object[: error.start].count(b"\n")
                n_wide += sum(byte >= 0x80 for byte in error.object[: error.start])
                return _fallback(path, is_gzip, line, is_mixed=n_wide > 0)
            n_wide += len(block) - len(text)
            has_marks = has_marks or _MARK in text[n_blocks == 0 :]
            n_lines += block.count(b"\n")
            n_blocks += bool(block)
    if n_blocks == 0:
        raise refusal("empty_file", expected="a table", got="an empty file")
    return "utf-8" if has_marks else None


def _check_unpacked(head: bytes) -> None:
    if head.startswith(PARQUET_MAGIC):
        got = "a Parquet file packed with gzip"
        raise refusal("wrong_file_type", expected="a CSV or Parquet file", got=got, hint="unpack it")
    check_head(head)


def _utf16(block: bytes) -> str | None:
    """Tell UTF-16 by its mark, or by zero bytes at every other place."""
    if block.startswith(_UTF16_MARKS):
        return "utf-16"
    head = block[:2000]
    n_pairs = max(len(head) // 2, 1)
    even, odd = head[0::2].count(0) / n_pairs, head[1::2].count(0) / n_pairs
    if max(even, odd) < 0.7 or min(even, odd) > 0.05:
        return None
    return "utf-16-le" if odd > even else "utf-16-be"


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
    """Write a file's text as UTF-8, without byte order marks.

    Raises:
        DatasetUnreadable: `not_utf8`, `wrong_file_type` or `conflict_markers`.
    """
    decoder = codecs.getincrementaldecoder(encoding)("strict")
    n_lines = 1
    with _open(path, is_gzip) as source, plain.open("wb") as out:
        while block := source.read(_BLOCK):
            text = _decoded(decoder, block, encoding, final=False)
            if out.tell() == 0:
                check_head(text)
            _check_bytes(text, n_lines)
            n_lines += text.count(b"\n")
            out.write(text)
        out.write(_decoded(decoder, b"", encoding, final=True))


def _decoded(decoder: codecs.IncrementalDecoder, block: bytes, encoding: str, *, final: bool) -> bytes:
    try:
        return decoder.decode(block, final=final).replace(_MARK, "").encode("utf-8")
    except UnicodeError:
        hint = "say another data.encoding, or save the file as UTF-8"
        raise refusal("not_utf8", expected=f"text in {encoding}", got="other bytes", hint=hint) from None


def _findings(path: Path, is_gzip: bool, encoding: str | None) -> list[Finding]:
    found = []
    if is_gzip and path.suffix != ".gz":
        found.append(Finding(code="unpacked", columns=(), sentence=f"{path.name} is packed with gzip: unpacked."))
    if encoding == "utf-8":
        sentence = f"{path.name} has byte order marks inside, as files have that were put together: taken away."
        found.append(Finding(code="byte_order_marks", columns=(), sentence=sentence))
    elif encoding is not None:
        found.append(_encoding_finding(path, is_gzip, encoding))
    return found


def _encoding_finding(path: Path, is_gzip: bool, encoding: str) -> Finding:
    is_foreign = False
    if encoding == _FALLBACK:
        with _open(path, is_gzip) as file:
            is_foreign = _FOREIGN.search(file.read(_BLOCK)) is not None
    perhaps = ", but seems to be in another alphabet" if is_foreign else ""
    sentence = f"{path.name} is not UTF-8: read as {encoding.capitalize()}{perhaps}."
    setting = "data.encoding: NAME, where letters come out wrong, as windows-1251, koi8-r or iso-8859-7"
    return Finding(code="encoding", columns=(), sentence=sentence, setting=setting, is_warning=is_foreign)
