"""Tests for the hint of a file that is not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from foldstep.service.contract.errors import DatasetUnreadable
from foldstep.service.contract.near_file import missing_file_hint, near_file
from foldstep.service.data.sources import resolve_path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    for name in ("houses.csv", "deep/cars.csv.gz", "deep/er/boats.csv", ".hidden/secret.csv"):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("a\n1\n")
    (tmp_path / "outside.csv").write_text("a\n1\n")
    return root


@pytest.mark.parametrize(
    ("source", "meant"),
    [
        ("hauses.csv", "houses.csv"),
        ("Houses.CSV", "houses.csv"),
        ("houses.parquet", "houses.csv"),
        ("houses", "houses.csv"),
        ("data/houses.csv", "houses.csv"),
        ("cars.csv.gz", "deep/cars.csv.gz"),
        ("deep/cars.csv", "deep/cars.csv.gz"),
        ("deep/er/boat.csv", "deep/er/boats.csv"),
        ("no/folder/here.csv", None),
        ("quite-another-name", None),
        ("secret.csv", None),
        ("deep/../../outsid.csv", None),
        ("../outsid.csv", None),
    ],
)
def test_the_file_that_was_probably_meant(root: Path, source: str, meant: str | None) -> None:
    assert near_file(source, [root]) == meant
    absolute = near_file(str(root / source), [root])
    assert absolute == (None if meant is None else str(root / meant))


def test_all_folders_are_looked_in_and_named(root: Path, tmp_path: Path) -> None:
    hint = missing_file_hint("boatz.csv", [tmp_path / "absent", root / "deep" / "er"])
    assert hint == f"looked in {tmp_path / 'absent'} and {root / 'deep' / 'er'}; did you mean boats.csv?"
    assert missing_file_hint("wien", [root], ["wine", "iris"]) == f"looked in {root}; did you mean wine?"


def test_the_master_names_the_file_and_its_folders(root: Path) -> None:
    with pytest.raises(DatasetUnreadable) as refused:
        resolve_path("hauses.csv", [root])
    assert refused.value.message.endswith(f"got hauses.csv; looked in {root}; did you mean houses.csv?")
    with pytest.raises(DatasetUnreadable, match=r"did you mean mine\?"):
        resolve_path("mein", [root], ["mine"])
    with pytest.raises(DatasetUnreadable, match=r"looked in .*root\.$"):
        resolve_path("nothing-like-it", [root])
