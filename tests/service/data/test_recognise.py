"""What a file seems to be: other kinds are named, encodings are found, no bytes at all cause another error."""

from __future__ import annotations

import gzip
import io
import zipfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foldstep.service.contract.errors import DatasetUnreadable
from foldstep.service.data.read import read_file
from tests.service.data.tables import codes, describe, listed, read, refused, write


def zipped(*names: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(name, "x" * 3000)
    return file.getvalue()


OTHERS: dict[str, tuple[bytes, str]] = {
    "an Excel workbook": (zipped("[Content_Types].xml", "docProps/app.xml", "xl/workbook.xml"), "Excel workbook"),
    "a document in a zip archive": (zipped("word/document.xml"), "zip archive"),
    "a zip archive": (zipped("t.csv"), "zip archive"),
    "an old workbook": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 99, "old Excel"),
    "JSON lines": (b'{"a": 1}\n{"a": 2}\n', "JSON lines"),
    "JSON": (b'[\n {"a": 1}\n]', "JSON file"),
    "a web page": (b"\xef\xbb\xbf\n<!DOCTYPE html><html><table><tr><td>1</td></tr></table></html>", "HTML page"),
    "a web page in UTF-16": ("<html><body></body></html>".encode("utf-16"), "HTML page"),
    "a web page, packed": (gzip.compress(b"<table><tr><td>1</td></tr></table>"), "HTML page"),
    "XML": (b"<?xml version='1.0'?><rows></rows>", "XML file"),
    "ARFF": (b"% note\n@relation iris\n@attribute a numeric\n", "ARFF"),
    "SQLite": (b"SQLite format 3\0" + b"\0" * 99, "SQLite"),
    "PDF": (b"%PDF-1.7\n", "PDF"),
    "a pointer of Git LFS": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
    "Parquet, packed": (gzip.compress(b"PAR1\0\0"), "Parquet file packed"),
    "a tar archive, packed": (gzip.compress(b"\0" * 257 + b"ustar"), "tar archive"),
    "an ORC file": (b"ORC\x0a\0\0\0", "ORC"),
    "other bytes": (b"a,b\n1,\x00\n2,3\n", "binary"),
}  # fmt: skip


@pytest.mark.parametrize(("content", "what"), OTHERS.values(), ids=OTHERS)
def test_other_files_are_named(tmp_path: Path, content: bytes, what: str) -> None:
    fault = refused(tmp_path, content)
    assert fault.code == "wrong_file_type"
    assert what in f"{fault.got} {fault.hint}"


@pytest.mark.parametrize("header", ["ORCID,x", "RDX,x", "BZh,x", "FEA1,x", "[id],[x]", "<ID>,<x>", "{id},x", "PK,x"])
def test_names_that_look_like_other_files_are_names(tmp_path: Path, header: str) -> None:
    assert list(read(tmp_path, f"{header}\na,1\nb,2\n").columns) == header.split(",")


def test_a_merge_that_is_not_resolved(tmp_path: Path) -> None:
    fault = refused(tmp_path, "a,b\n1,2\n<<<<<<< HEAD\n3,4\n=======\n3,5\n>>>>>>> other\n")
    assert (fault.code, "line 3" in str(fault.got)) == ("conflict_markers", True)


def test_a_folder_names_its_files(tmp_path: Path) -> None:
    write(tmp_path, "a,b\n1,2\n", "inside.csv")
    with pytest.raises(DatasetUnreadable, match=r"inside\.csv"):
        read_file(tmp_path)


ENCODED: dict[str, tuple[bytes, str]] = {
    "UTF-8": ("größe,b\nä,1\nö,2\n".encode(), ""),
    "UTF-8 with a mark": ("größe,b\nä,1\nö,2\n".encode("utf-8-sig"), ""),
    "Windows": ("größe,b\nä,1\nö,2\n".encode("windows-1252"), "Windows-1252"),
    "UTF-16": ("größe,b\nä,1\nö,2\n".encode("utf-16"), "Utf-16"),
    "UTF-16 without a mark": ("größe,b\nä,1\nö,2\n".encode("utf-16-le"), "Utf-16-le"),
    "UTF-16, big end first": ("größe,b\nä,1\nö,2\n".encode("utf-16-be"), "Utf-16-be"),
}


@pytest.mark.parametrize(("content", "said"), ENCODED.values(), ids=ENCODED)
def test_encodings_are_found_and_said(tmp_path: Path, content: bytes, said: str) -> None:
    table = read(tmp_path, content)
    assert {n: listed(c.values) for n, c in table.columns.items()} == {"größe": ["ä", "ö"], "b": [1.0, 2.0]}
    assert [said in f.sentence for f in table.findings] == ([True] if said else [])


def test_another_alphabet_is_warned_of_and_read_when_it_is_named(tmp_path: Path) -> None:
    content = "город,x\nМосква,1\nКазань,2\n".encode("windows-1251")
    [finding] = read(tmp_path, content).findings
    assert finding.is_warning
    assert finding.code == "encoding"
    table = read(tmp_path, content, encoding="windows-1251")
    assert (listed(table.columns["город"].values), table.findings) == (["Москва", "Казань"], [])


def test_two_encodings_in_one_file_are_refused(tmp_path: Path) -> None:
    assert refused(tmp_path, "a,b\nä,1\n".encode() + "ö,2\n".encode("latin-1")).code == "mixed_encodings"


def test_marks_inside_are_taken_away_and_said(tmp_path: Path) -> None:
    table = read(tmp_path, "a,b\nx,1\n\ufeffy,2\n")
    assert listed(table.columns["a"].values) == ["x", "y"]
    assert [f.code for f in table.findings] == ["byte_order_marks"]


def test_gzip_by_another_name_is_said(tmp_path: Path) -> None:
    assert "unpacked" in codes(describe(tmp_path, gzip.compress(b"a,b\n1,2\n3,5\n")))


@pytest.mark.parametrize("encoding", ["hex", "base64", "rot13", "undefined", "zlib", "", "a\0b", "no-such"])
def test_encodings_that_are_none_are_refused(tmp_path: Path, encoding: str) -> None:
    assert refused(tmp_path, "a,b\n1,2\n3,4\n", encoding=encoding).code == "unknown_encoding"


def test_an_encoding_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    assert refused(tmp_path, "a,b\nä,1\nö,2\n".encode("latin-1"), encoding="utf-8").code == "not_utf8"


def only_refuses(folder: Path, content: bytes) -> None:
    path = write(folder, content)
    with suppress(DatasetUnreadable):
        read_file(path)


@given(content=st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    only_refuses(tmp_path_factory.mktemp("f"), content)


_TABLE = (
    "id;größe;d;t\n" + "".join(f"{i};1.{i:03d},5;{i % 28 + 1}.02.2024;{'ab'[i % 2]}\n" for i in range(30))
).encode()
_PIECES = st.sampled_from(
    [b'"', b"\n", b";", b",", b"\r", b"\0", b"\xff", b"\xef\xbb\xbf", b"=======\n", b"<<<<<<< x\n", b"nan", b"1e999",
     b"99.99.9999", b"(1)", b"\\N", b"12:30", b"\xe2\x80\xaf", b"2020Q1"]
)  # fmt: skip


@given(changes=st.lists(st.tuples(st.integers(0, len(_TABLE)), _PIECES, st.integers(0, 9)), max_size=5))
def test_a_table_with_faults_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[int, bytes, int]]
) -> None:
    content = _TABLE
    for place, piece, n_lost in changes:
        content = content[:place] + piece + content[place + n_lost :]
    only_refuses(tmp_path_factory.mktemp("f"), content)
    only_refuses(tmp_path_factory.mktemp("g"), gzip.compress(content)[: len(content)])
