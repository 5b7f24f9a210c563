"""Which files may be read at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from foldstep.service.contract.errors import DatasetUnreadable, PathNotAllowed
from foldstep.service.data.sources import resolve_path
from foldstep.service.settings import Settings


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


@pytest.mark.parametrize(
    "source", [".env", ".git/config", "deep/.secret.csv", "deep/.hidden/t.csv", "alias.csv", "dot"]
)
def test_hidden_files_are_never_read(root: Path, source: str) -> None:
    for name in (".env", ".git/config", "deep/.one.csv", "deep/.two/t.csv"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text("a,b\n1,2\n")
    (root / "alias.csv").symlink_to(root / ".env")
    (root / "dot").symlink_to(root / ".git" / "config")
    with pytest.raises(PathNotAllowed, match="hidden"):
        resolve_path(source, [root])


def test_a_root_may_be_hidden_itself(root: Path) -> None:
    hidden = root / ".data"
    hidden.mkdir()
    (hidden / "t.csv").write_text("a\n")
    assert resolve_path("t.csv", [hidden]) == hidden / "t.csv"


def test_a_pipe_is_no_file(root: Path) -> None:
    os.mkfifo(root / "pipe.csv")
    with pytest.raises(DatasetUnreadable):
        resolve_path("pipe.csv", [root])


def test_the_masters_own_files_are_no_data(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, data_roots=(tmp_path,))
    for name in ("token", "foldstep.db", "uploads/a.csv", "files/b"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("a,b\n")
        with pytest.raises(PathNotAllowed, match="the master's own"):
            resolve_path(name, settings.allowed_roots, private=settings.private_paths)
    (tmp_path / "own.csv").write_text("a,b\n")
    assert resolve_path("own.csv", settings.allowed_roots, private=settings.private_paths) == tmp_path / "own.csv"
