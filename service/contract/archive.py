"""Uncompressed tar archives, which carry several files in one request."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping

from foldstep.service.contract.errors import Fault, InvalidInput


def pack(files: Mapping[str, bytes]) -> bytes:
    """Pack files, given as name to content, into an archive."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def unpack(archive: bytes) -> dict[str, bytes]:
    """Read the files of an archive as name to content; nothing is written to disk.

    No more is read than was sent: a sparse file, which stands for more bytes than it has, is no plain file.

    Raises:
        InvalidInput: it is no archive, or contains anything but plain files, each name once.
    """
    files: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r:") as opened:
            for entry in opened:
                if entry.name in files:
                    raise _not_an_archive(f"{entry.name} twice")
                files[entry.name] = _content(archive, entry)
    except (tarfile.TarError, ValueError, OverflowError, LookupError, RecursionError) as error:
        raise _not_an_archive(str(error)) from None
    return files


def _content(archive: bytes, entry: tarfile.TarInfo) -> bytes:
    if entry.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or entry.issparse():
        raise _not_an_archive(entry.name)
    content = archive[entry.offset_data : entry.offset_data + entry.size]
    if len(content) != entry.size:
        raise _not_an_archive(f"{entry.name}, cut short")
    return content


def _not_an_archive(got: str) -> InvalidInput:
    fault = Fault(code="not_an_archive", path="body", expected="an uncompressed tar archive of plain files", got=got)
    return InvalidInput(f"The files cannot be read: {fault}.", faults=[fault])
