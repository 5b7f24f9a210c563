"""The model file: what is put in comes out, and what is cut short, altered, newer, hostile or no model is refused."""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import foldstep
from foldstep.committee import Committee
from foldstep.ensemble import Ensemble
from foldstep.model_file import ABOUT, CARD, VERSION, WITHOUT_ADJUSTMENTS, read_model, write_model
from foldstep.models.checkpoint import decode
from foldstep.prediction import predict_file
from foldstep.service.contract.calibration import Adjustments
from foldstep.service.contract.errors import InvalidInput, ModelUnreadable
from foldstep.whole_file import whole_file
from tests.foldstep.portable.networks import mixed_table, train

Parts = dict[str, bytes]


@pytest.fixture(scope="module")
def committees(tmp_path_factory: pytest.TempPathFactory) -> list[Committee]:
    found = []
    for trial, weight in ((3, 3.0), (8, 1.0)):
        one = train(tmp_path_factory.mktemp("trial"), {"seed": trial})
        found.append(Committee(weight, one.checkpoints, trial))
    return found


@pytest.fixture
def model(committees: list[Committee], tmp_path: Path) -> Path:
    path = tmp_path / "m.foldstep"
    assert write_model(path, committees, {"chosen": "by hand", "licence": ""}, "# m\n") == path.stat().st_size
    return path


def parts_of(path: Path) -> Parts:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def archived(parts: Parts, path: Path, how: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", how) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return path


def sealed(about: dict[str, Any]) -> bytes:
    """The text of `model.json` with a right checksum, as anybody can make it."""
    rest = {name: value for name, value in about.items() if name != "sha256"}
    text = json.dumps(rest, indent=1, sort_keys=True, ensure_ascii=False).encode()
    return json.dumps({**rest, "sha256": hashlib.sha256(text).hexdigest()}).encode()


def code(path: Path) -> str:
    """The code of the refusal, whose sentence names the file and a way out."""
    with pytest.raises(ModelUnreadable) as refused:
        read_model(path)
    assert path.name in refused.value.message
    assert refused.value.message.count("\n") == 0
    (fault,) = refused.value.faults
    assert fault.hint
    assert f"({fault.code})" in refused.value.message
    return fault.code


def test_a_model_predicts_as_its_checkpoints_do(committees: list[Committee], model: Path, tmp_path: Path) -> None:
    new = tmp_path / "new.csv"
    new.write_text(mixed_table(20, seed=9))
    expected = predict_file(Ensemble.load(committees), new, proba=True)
    assert predict_file(read_model(model).ensemble, new, proba=True) == expected
    files = [Committee(1.0, one.checkpoints) for one in committees]
    alone = [predict_file(Ensemble.load([one]), new, proba=True).columns["a"] for one in files]
    assert expected.columns["a"] == pytest.approx(np.average(alone, axis=0, weights=[3, 1]))
    assert alone[0] != alone[1]


def test_a_temperature_is_kept_and_earlier_versions_do_not_read_over_it(
    committees: list[Committee], tmp_path: Path
) -> None:
    path = tmp_path / "m.foldstep"
    write_model(path, committees, {}, "", Adjustments(temperature=1.5))
    read = read_model(path)
    assert read.about["version"] == VERSION
    assert read.ensemble.adjustments == Adjustments(temperature=1.5)
    with pytest.raises(InvalidInput, match="two classes"):
        write_model(path, committees, {}, "", Adjustments(threshold=0.4))
    parts = parts_of(path)
    about = {**json.loads(parts[ABOUT]), "temperature": -1}
    assert code(archived({**parts, ABOUT: sealed(about)}, tmp_path / "odd.foldstep")) == "no_model"


def test_what_a_model_says_of_itself(model: Path) -> None:
    read = read_model(model)
    about = read.about
    assert (about["format"], about["version"], about["task"], about["target"]) == (
        "foldstep-model", WITHOUT_ADJUSTMENTS, "classification", ["kind"],
    )  # fmt: skip
    assert about["classes"] == ["a", "b", "c"]
    assert [(m["trial"], m["weight"], len(m["networks"])) for m in about["members"]] == [(3, 3.0, 2), (8, 1.0, 2)]
    assert about["chosen"] == "by hand"
    assert len(about["fingerprint"]) == 64
    assert (read.card["chosen"], read.card_text) == ("by hand", "# m\n")


def test_checkpoints_are_in_it_without_what_they_say_of_training_rows(committees: list[Committee], model: Path) -> None:
    parts, files = parts_of(model), [file for one in committees for file in one.checkpoints]
    names = [name for member in read_model(model).about["members"] for name in member["networks"]]
    for name, file in zip(names, files, strict=True):
        arrays, facts = decode(parts[name])
        before, same = decode(file.read_bytes())
        assert facts == same
        assert {one for one in before if one not in arrays} == {"oof.rows", "oof.predictions", "oof.truth"}
        assert all((arrays[one] == before[one]).all() for one in arrays)


def test_a_draft_is_deleted_where_writing_ends_early(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), whole_file(tmp_path / "m.foldstep") as file:
        file.write(b"x" * (1 // 0))
    assert list(tmp_path.iterdir()) == []


def test_equal_content_gives_equal_bytes(committees: list[Committee], model: Path) -> None:
    other = model.with_name("other.foldstep")
    write_model(other, committees, {"chosen": "by hand", "licence": ""}, "# m\n")
    assert other.read_bytes() == model.read_bytes()


def test_every_cut_is_refused(model: Path, tmp_path: Path) -> None:
    content = model.read_bytes()
    cut = tmp_path / "cut.foldstep"
    for n in [*range(4, 60), *range(60, len(content) - 1, len(content) // 40), len(content) - 1]:
        cut.write_bytes(content[:n])
        assert code(cut) == "truncated"
    cut.write_bytes(b"")
    assert code(cut) == "no_model"


def test_every_flipped_byte_is_refused_or_means_nothing(model: Path, tmp_path: Path) -> None:
    """A byte of the archive's own, such as the system that wrote it, may mean nothing: then all else is as it was."""
    content, flipped = model.read_bytes(), tmp_path / "flipped.foldstep"
    expected, n_refused = read_model(model).about, 0
    for at in range(0, len(content), max(1, len(content) // 150)):
        flipped.write_bytes(content[:at] + bytes([content[at] ^ 0x41]) + content[at + 1 :])
        try:
            assert read_model(flipped).about == expected
        except ModelUnreadable:
            n_refused += 1
    assert n_refused > 120


def test_a_part_that_was_exchanged_is_altered(model: Path, tmp_path: Path) -> None:
    parts = parts_of(model)
    networks = sorted(name for name in parts if name.startswith("networks/"))
    exchanged = {**parts, networks[0]: parts[networks[1]], networks[1]: parts[networks[0]]}
    assert code(archived(exchanged, tmp_path / "a.foldstep")) == "altered"
    assert code(archived({**parts, CARD: b'{"licence": "mine"}'}, tmp_path / "b.foldstep")) == "altered"
    changed = parts[ABOUT].replace(b'"weight": 3.0', b'"weight": 9.0')
    assert changed != parts[ABOUT]
    assert code(archived({**parts, ABOUT: changed}, tmp_path / "c.foldstep")) == "altered"
    less = {name: content for name, content in parts.items() if name != networks[0]}
    assert code(archived(less, tmp_path / "d.foldstep")) == "altered"


def test_a_newer_model_says_so(model: Path, tmp_path: Path) -> None:
    parts = parts_of(model)
    newer = sealed({**json.loads(parts[ABOUT]), "version": VERSION + 1})
    assert code(archived({**parts, ABOUT: newer}, tmp_path / "newer.foldstep")) == "newer_version"


HOSTILE: dict[str, Callable[[Parts], Parts]] = {
    "another file beside": lambda parts: {**parts, "run.pkl": b"x"},
    "a way out of the folder": lambda parts: {**parts, "../networks/0000-0000.safetensors": b"x"},
    "no card": lambda parts: {name: part for name, part in parts.items() if name != CARD},
    "a list": lambda parts: {**parts, ABOUT: b"[]"},
    "deep": lambda parts: {**parts, ABOUT: b"[" * 100_000},
    "a number of another kind": lambda parts: {**parts, ABOUT: b'{"format": "foldstep-model", "version": "1"}'},
    "no parts": lambda parts: {**parts, ABOUT: sealed({"format": "foldstep-model", "version": 1})},
    "members of another kind": lambda parts: {**parts, ABOUT: sealed({**json.loads(parts[ABOUT]), "members": [7]})},
    "a network twice": lambda parts: {**parts, ABOUT: sealed(_doubled(json.loads(parts[ABOUT])))},
}


def _doubled(about: dict[str, Any]) -> dict[str, Any]:
    return {**about, "members": about["members"] * 2}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_no_model(name: str, model: Path, tmp_path: Path) -> None:
    assert code(archived(HOSTILE[name](parts_of(model)), tmp_path / "odd.foldstep")) == "no_model"


@pytest.mark.parametrize("weight", [0, -1, 1e999, "x"])
def test_weights_are_above_0(weight: Any, model: Path, tmp_path: Path) -> None:
    parts = parts_of(model)
    about = json.loads(parts[ABOUT])
    about["members"][0]["weight"] = weight
    path = archived({**parts, ABOUT: sealed(about)}, tmp_path / "odd.foldstep")
    with pytest.raises(InvalidInput):
        read_model(path)


def test_an_archive_is_bounded_by_its_bytes(model: Path, tmp_path: Path) -> None:
    parts = parts_of(model)
    packed = archived(
        {**parts, CARD: b'{"a": "' + b" " * 50_000_000 + b'"}'}, tmp_path / "p.foldstep", zipfile.ZIP_DEFLATED
    )
    assert packed.stat().st_size < 10_000_000
    assert code(packed) == "no_model"
    many = archived(
        {**parts, **{f"networks/{i:04d}-0009.safetensors": b"" for i in range(5100)}}, tmp_path / "m.foldstep"
    )
    assert code(many) == "too_large"
    content = bytearray(model.read_bytes())  # the number of parts is a lie: the list of them is longer
    content[-10:-6] = (1 << 30).to_bytes(4, "little")
    (tmp_path / "l.foldstep").write_bytes(content)
    assert code(tmp_path / "l.foldstep") == "too_large"


def test_parts_that_lie_over_each_other(model: Path, tmp_path: Path) -> None:
    """Ten entries of the list that show the same megabyte."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in parts_of(model).items():
            archive.writestr(name, content)
        archive.writestr("networks/0100-0000.safetensors", b"x" * 1_000_000)
        entry = archive.infolist()[-1]
        for i in range(10):
            again = zipfile.ZipInfo(f"networks/02{i:02d}-0000.safetensors")
            again.header_offset, again.CRC = entry.header_offset, entry.CRC
            again.file_size = again.compress_size = entry.file_size
            archive.filelist.append(again)
    (tmp_path / "over.foldstep").write_bytes(buffer.getvalue())
    assert code(tmp_path / "over.foldstep") == "too_large"


def test_files_that_are_not_there_or_others(committees: list[Committee], tmp_path: Path) -> None:
    assert code(tmp_path / "nothing.foldstep") == "no_file"
    (tmp_path / "folder.foldstep").mkdir()
    assert code(tmp_path / "folder.foldstep") == "no_file"
    os.mkfifo(tmp_path / "pipe.foldstep")
    assert code(tmp_path / "pipe.foldstep") == "no_file"
    (tmp_path / "text.foldstep").write_text("a,b\n1,2\n")
    assert code(tmp_path / "text.foldstep") == "no_model"
    with pytest.raises(ModelUnreadable, match="no_model"):
        foldstep.load(committees[0].checkpoints[0])


def test_a_model_is_written_whole_or_not_at_all(committees: list[Committee], model: Path, tmp_path: Path) -> None:
    before = model.read_bytes()
    (tmp_path / "damaged.safetensors").write_bytes(b"x" * 100)
    broken = [*committees, Committee(1.0, [tmp_path / "damaged.safetensors"])]
    with pytest.raises(InvalidInput, match=r"damaged\.safetensors cannot be used"):
        write_model(model, broken, {}, "")
    with pytest.raises(InvalidInput, match="cannot be written"):
        write_model(tmp_path / "none" / "m.foldstep", committees, {}, "")
    assert model.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["damaged.safetensors", "m.foldstep"]


def test_an_ensemble_without_networks_is_refused() -> None:
    with pytest.raises(InvalidInput, match="no network"):
        Ensemble.load([])
    with pytest.raises(InvalidInput, match="no network"):
        Ensemble.load([Committee(1.0, [])])
