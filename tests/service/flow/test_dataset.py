"""A file is read once for each way of reading it, and again from the original where a spec says otherwise."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from foldstep.service.contract.dataset import DatasetDescription
from foldstep.service.contract.errors import DatasetUnreadable, NameTaken, PathNotAllowed, SpecInvalid
from foldstep.service.contract.parse import parse_spec
from foldstep.service.contract.reading import ReadingOptions
from foldstep.service.contract.submit import DatasetRegistration
from foldstep.service.db import datasets
from foldstep.service.flow import dataset, originals
from foldstep.service.flow.context import Context
from foldstep.service.flow.recover import recover

TABLE = "x,y\n" + "".join(f"{i},{'ab'[i % 2]}\n" for i in range(20))
AS_TEXT = {"types": {"x": "category"}}


def described(context: Context, source: str, **options: Any) -> DatasetDescription:
    spec = parse_spec({"name": "t", "data": {"dataset": source, "target": "y", **options}})
    return dataset.described(context, spec.data)


def upload(context: Context, content: str) -> str:
    with originals.draft(context) as draft:
        draft.write(content.encode())
        return draft.keep().sha256


def register(context: Context, name: str, content: str = TABLE) -> str:
    sha256 = upload(context, content)
    dataset.register(context, DatasetRegistration(name=name, source="user.csv", file=sha256))
    return sha256


def forge(context: Context) -> None:
    """Change what was remembered, so that a reading that is taken from there can be told from one of the file."""
    (sidecar,) = context.settings.datasets_dir.glob("*.json")
    sidecar.write_text(json.dumps({**json.loads(sidecar.read_text()), "n_rows": 999}))


def test_the_same_bytes_are_read_once(context: Context, tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text(TABLE)
    assert described(context, "a.csv").n_rows == 20
    forge(context)
    again = described(context, "b.csv")
    assert (again.n_rows, again.source) == (999, "b.csv")
    assert described(context, "a.csv", **AS_TEXT).n_rows == 20, "read in another way, they are read again"
    (tmp_path / "a.csv").write_text(TABLE + "20,a\n")
    assert described(context, "a.csv").n_rows == 21


def test_a_bundled_set_is_read_once(context: Context) -> None:
    assert described(context, "iris").n_rows == 150
    forge(context)
    with context.database.write() as connection:
        datasets.delete(connection, "iris")
    again = described(context, "iris")
    assert (again.n_rows, again.source, again.bundled) == (999, "iris", True)


def test_what_was_read_before_counts_only_with_its_data(context: Context, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(TABLE)
    description = described(context, "a.csv")
    forge(context)
    canonical = context.settings.datasets_dir / f"{description.fingerprint}.parquet"
    canonical.unlink()
    assert described(context, "a.csv") == description
    assert canonical.is_file()
    (sidecar,) = context.settings.datasets_dir.glob("*.json")
    sidecar.write_text("{")
    assert described(context, "a.csv") == description


def test_a_name_is_read_again_from_its_original(context: Context) -> None:
    register(context, "mine")
    assert described(context, "mine").options == ReadingOptions()
    assert described(context, "mine", **AS_TEXT).options == ReadingOptions(types={"x": "category"})
    ignoring = {"types": {"petal width (cm)": "ignore"}}
    assert described(context, "iris", **ignoring).options == ReadingOptions(**ignoring)
    assert [d.name for d in dataset.all_datasets(context).rows] == ["mine"], "the name is for the set as it is found"
    assert described(context, "iris").options == ReadingOptions()
    assert [d.name for d in dataset.all_datasets(context).rows] == ["iris", "mine"]
    assert described(context, "iris", **ignoring).options == ReadingOptions(**ignoring)


def test_a_name_whose_canonical_file_is_gone_is_read_again(context: Context) -> None:
    register(context, "mine")
    description = described(context, "mine")
    canonical = context.settings.datasets_dir / f"{description.fingerprint}.parquet"
    canonical.unlink()
    assert described(context, "mine") == description
    assert canonical.is_file()


def test_without_the_original_the_way_out_is_named_and_the_same_upload_mends_it(context: Context) -> None:
    sha256 = register(context, "mine")
    with context.database.write() as connection:
        connection.execute(text("UPDATE datasets SET file = NULL"))
    (context.settings.files_dir / sha256).unlink()
    assert described(context, "mine").n_rows == 20
    with pytest.raises(SpecInvalid, match="datasets replace mine FILE") as refused:
        described(context, "mine", **AS_TEXT)
    assert [(fault.code, fault.path) for fault in refused.value.faults] == [("original_gone", "data.dataset")]
    register(context, "mine")
    assert described(context, "mine", **AS_TEXT).n_rows == 20


def test_a_name_stands_for_one_file(context: Context) -> None:
    register(context, "mine")
    register(context, "mine")
    with pytest.raises(NameTaken, match=r"20 rows, 2 columns.*datasets replace mine FILE"):
        register(context, "mine", TABLE.replace("a", "c"))
    assert described(context, "mine").n_rows == 20


def test_a_path_that_was_registered_is_hashed_and_not_read_again(context: Context, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(TABLE)
    dataset.register(context, DatasetRegistration(name="mine", source="a.csv"))
    (sidecar,) = context.settings.datasets_dir.glob("*.json")
    sidecar.unlink()
    path.touch()
    assert described(context, "mine").n_rows == 20
    assert list(context.settings.datasets_dir.glob("*.json")) == []
    path.write_text(TABLE.replace("\n", "\r\n"))
    assert described(context, "mine").n_rows == 20, "other bytes, the same data"
    path.write_text(TABLE.replace("a", "c"))
    for options in ({}, AS_TEXT):
        with pytest.raises(SpecInvalid, match="has changed since"):
            described(context, "mine", **options)


def test_a_path_of_the_masters_is_meant_whatever_names_there_are(context: Context, tmp_path: Path) -> None:
    register(context, "a.csv")
    (tmp_path / "a.csv").write_text(TABLE + "20,a\n")
    assert described(context, "a.csv").n_rows == 20
    there = described(context, "master:a.csv")
    assert (there.n_rows, there.source) == (21, "master:a.csv")
    with pytest.raises(PathNotAllowed):
        described(context, "master:/etc/passwd")
    with pytest.raises(DatasetUnreadable):
        described(context, "master:none.csv")


def test_uploads_that_were_never_registered_go_after_a_day(context: Context) -> None:
    used, old, new = register(context, "mine"), upload(context, "old"), upload(context, "new")
    folder = context.settings.files_dir
    long_ago = time.time() - 90_000
    for name in (used, old):
        os.utime(folder / name, (long_ago, long_ago))
    recover(context)
    assert {path.name for path in folder.iterdir()} == {used, new}
