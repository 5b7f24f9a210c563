"""Which files may be read at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from foldstep.service.contract.errors import DatasetUnreadable, PathNotAllowed
from foldstep.service.data.sources import resolve_path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root" / "deep").mkdir(parents=True)
    (tmp_path / "root" / "deep" / "t.csv").write_text("a\n1\n")
    (tmp_path / "secret.csv").write_text("a\n1\n")
    (tmp_path / "root-but-longer").mkdir()
    (tmp_path / "root-but-longer" / "t.csv").write_text("a\n1\n")
    (tmp_path / "root" / "way-out.csv").symlink_to(tmp_path / "secret.csv")
    (tmp_path / "root" / "inside.csv").symlink_to(tmp_path / "root" / "deep" / "t.csv")
    (tmp_path / "root" / "circle").symlink_to(tmp_path / "root" / "circle")
    return tmp_path / "root"


@pytest.mark.parametrize("source", ["deep/t.csv", "./deep/../deep/t.csv", "inside.csv", "{root}/deep/t.csv"])
def test_files_below_a_root(root: Path, source: str) -> None:
    assert resolve_path(source.format(root=root), [root]) == root / "deep" / "t.csv"


@pytest.mark.parametrize(
    "source",
    ["../secret.csv", "deep/../../secret.csv", "way-out.csv", "{root}/../secret.csv", "{root}-but-longer/t.csv",
     "/etc/passwd", "/no/such/file", ".."],
)  # fmt: skip
def test_everything_else_is_refused_whether_it_is_there_or_not(root: Path, source: str) -> None:
    with pytest.raises(PathNotAllowed) as error:
        resolve_path(source.format(root=root), [root])
    assert [(f.code, f.path) for f in error.value.faults] == [("path_not_allowed", "data.dataset")]


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ("missing.csv", "file_not_found"),
        ("deep", "file_not_found"),
        ("circle", "file_not_found"),
        ("x" * 5000, "file_not_found"),
        ("a\0b", "file_not_found"),
        ("", "file_not_found"),
        ("https://example.org/t.csv", "url_not_supported"),
        ("s3://bucket/t.csv", "url_not_supported"),
        ("file:///etc/passwd", "url_not_supported"),
    ],
)
def test_what_is_no_file(root: Path, source: str, code: str) -> None:
    with pytest.raises(DatasetUnreadable) as error:
        resolve_path(source, [root])
    assert error.value.faults[0].code == code


def test_the_first_root_that_has_the_file_wins(root: Path) -> None:
    other = root.parent / "root-but-longer"
    assert resolve_path("t.csv", [root, other]) == other / "t.csv"
    assert resolve_path("deep/t.csv", [other, root]) == root / "deep" / "t.csv"


def test_without_roots_no_file_may_be_read(root: Path) -> None:
    with pytest.raises(PathNotAllowed):
        resolve_path(str(root / "deep" / "t.csv"), [])
