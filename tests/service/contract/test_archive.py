"""Archives of several files: back as they went in, refused where they are anything else."""

from __future__ import annotations

import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foldstep.service.contract.archive import pack, unpack
from foldstep.service.contract.errors import InvalidInput


@given(st.dictionaries(st.from_regex(r"[a-z0-9_.-]{1,90}", fullmatch=True), st.binary(max_size=2000), max_size=4))
def test_files_come_back(files: dict[str, bytes]) -> None:
    assert unpack(pack(files)) == files


@pytest.mark.parametrize("cut", [1, 100, 512, 600, 1000])
def test_archive_that_was_cut_is_refused(cut: int) -> None:
    with pytest.raises(InvalidInput):
        unpack(pack({"a": b"x" * 1000})[:cut])


def test_noise_is_refused() -> None:
    with pytest.raises(InvalidInput, match="tar archive"):
        unpack(b"noise" * 1000)


def test_links_are_refused() -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        link = tarfile.TarInfo("token")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    with pytest.raises(InvalidInput, match="token"):
        unpack(buffer.getvalue())
