"""The score of the final model on the test part, by REST, command line and from the files."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, log_loss, mean_pinball_loss, root_mean_squared_error

from foldstep import load
from foldstep.models.checkpoint import read_arrays
from foldstep.service.contract.errors import Conflict
from foldstep.service.contract.final import FinalModel
from foldstep.service.contract.out_of_fold import TEST, FoldPredictions
from foldstep.service.contract.probabilities import tempered
from tests.foldstep.conftest import Desk, refused
from tests.foldstep.predicting import predict
from tests.foldstep.test_ensemble import ALL, checkpoints_of, search_of, table

HELD_OUT: dict[str, dict[str, Any]] = {
    "classes": {"data": {"target": "kind", "test": 0.25}, "metric": "log_loss"},
    "values": {"data": {"target": "much", "weight": "w", "test": 0.25}},
    "quantiles": {"data": {"target": "much", "quantiles": [0.2, 0.8], "test": 0.25}},
    "labels": {"data": {"target": ["spam", "glad"], "test": 0.25}, "metric": "accuracy"},
}


def finalized(desk: Desk, case: str) -> tuple[FinalModel, list[Path]]:
    data = HELD_OUT[case]["data"]
    used = [data["weight"]] if "weight" in data else []
    used += data["target"] if isinstance(data["target"], list) else [data["target"]]
    kept = [name for name in ALL if name not in used]
    changes = {**HELD_OUT[case], "data": {"dataset": "table.csv", "ignore": kept, **data}}
    search = search_of(desk, case, name=f"final-{case}", **changes)
    model = desk.master.finalize(search.id)
    folder = Path(search.checkpoint_dir)
    return model, [folder / name for member in model.members for name in member.checkpoints]


def test_rows(files: list[Path]) -> FoldPredictions:
    of_each = [FoldPredictions.of(read_arrays(str(file), TEST), TEST) for file in files]
    first = of_each[0]
    assert first is not None
    for other in of_each:
        assert other is not None
        np.testing.assert_array_equal(first.rows, other.rows)
    return first


test_rows.__test__ = False  # type: ignore[attr-defined]


def said_of(model: FinalModel, files: list[Path], rows: list[int], tmp_path: Path, *words: str) -> np.ndarray:
    """Predict the test rows of the file as a user would: each committee's mean, and their weighted mean."""
    header, *lines = table().splitlines()
    content = "\n".join([header, *(lines[row] for row in rows)]) + "\n"
    total, start = np.zeros(0), 0
    for member in model.members:
        own = files[start : start + len(member.checkpoints)]
        start += len(own)
        (_, *said), _ = predict(own, content, tmp_path, *words)
        part = member.weight * np.array(said, float)
        total = part if not total.size else total + part
    return total


@pytest.mark.parametrize("case", HELD_OUT)
def test_it_is_what_scikit_learn_says_of_the_predictions_of_these_rows(
    busy_desk: Desk, case: str, tmp_path: Path
) -> None:
    model, files = finalized(busy_desk, case)
    assert model.test is not None
    rows = test_rows(files).rows.tolist()
    assert len(rows) == model.test.n_rows
    assert 28 <= len(rows) <= 32
    cells = list(csv.DictReader(io.StringIO(table())))
    proba = ["--proba"] if case in ("classes", "labels") else []
    said = said_of(model, files, rows, tmp_path, *proba)
    if case == "classes":
        said = tempered(said, model.temperature)
        expected = log_loss([cells[row]["kind"] for row in rows], said, labels=["a", "b", "c"])
    elif case == "values":
        weight = [float(cells[row]["w"]) for row in rows]
        expected = root_mean_squared_error(
            [float(cells[row]["much"]) for row in rows], said[:, 0], sample_weight=weight
        )
    elif case == "quantiles":
        truth = [float(cells[row]["much"]) for row in rows]
        expected = float(np.mean([mean_pinball_loss(truth, said[:, i], alpha=a) for i, a in enumerate([0.2, 0.8])]))
    else:
        labels = [[int(cells[row][name]) for row in rows] for name in ("spam", "glad")]
        expected = float(np.mean([accuracy_score(label, said[:, i] > 0.5) for i, label in enumerate(labels)]))
    assert model.test.score == pytest.approx(expected, rel=1e-4)
    assert model.test.low is not None
    assert model.test.high is not None
    assert model.test.low <= model.test.score <= model.test.high


def test_no_network_was_trained_or_validated_on_these_rows(busy_desk: Desk) -> None:
    model, files = finalized(busy_desk, "classes")
    held_out = set(test_rows(files).rows.tolist())
    assert held_out
    seen = busy_desk.master.predictions(model.search, model.winner)
    assert not held_out & set(seen.rows)
    assert held_out | set(seen.rows) == set(range(120))


def test_it_is_scored_once_and_a_second_look_is_said(busy_desk: Desk) -> None:
    master = busy_desk.master
    spec_of = search_of(busy_desk, "test part", name="looks")
    before = master.final(spec_of.id)
    assert before.model is None
    assert before.awaits_score
    first = master.finalize(spec_of.id)
    assert first.test is not None
    assert first.test.looks == 1
    assert master.finalize(spec_of.id) == first  # a stored record, with its time
    after = master.final(spec_of.id)
    assert after.model == first
    assert not after.awaits_score
    seen = first
    while seen.members == first.members:  # more trials, until the model is another one
        master.extend(spec_of.id, trials=10)
        with pytest.raises(Conflict, match="goes on"):
            master.finalize(spec_of.id)
        master.wait(spec_of.id)
        seen = master.finalize(spec_of.id)
    assert seen.number == 2
    assert seen.test is not None
    assert seen.test.looks == 2
    assert "final model number 2" in seen.sentences[-1]


def test_its_interval_is_as_wide_as_the_error_of_a_mean(busy_desk: Desk) -> None:
    """The bootstrap interval of an accuracy is about that of a binomial share."""
    found = busy_desk.master.finalize(search_of(busy_desk, "test part", name="wide").id).test
    assert found is not None
    assert found.low is not None
    assert found.high is not None
    width = 2 * 1.96 * math.sqrt(max(found.score * (1 - found.score), 0.02) / found.n_rows)
    assert 0.6 * width < found.high - found.low < 1.4 * width


def test_a_search_without_a_test_part_says_so(busy_desk: Desk) -> None:
    search = search_of(busy_desk, "values", name="none-held-out")
    assert not busy_desk.master.final(search.id).has_test_part
    model = busy_desk.master.finalize(search.id)
    assert model.test is None
    assert model.score is not None
    assert "`data.test`" in model.sentences[0]


def test_predictions_that_were_not_kept_cannot_be_scored(busy_desk: Desk) -> None:
    search = search_of(busy_desk, "test part", name="not-kept", checkpoints={"predictions": False})
    with pytest.raises(Conflict, match=r"checkpoints\.predictions"):
        busy_desk.master.finalize(search.id)
    assert busy_desk.master.final(search.id).awaits_score


def test_the_command_tells_the_score(busy_desk: Desk) -> None:
    search = search_of(busy_desk, "test part", name="told")
    told = busy_desk("finalize", search.id)
    model = busy_desk.master.final(search.id).model
    assert model is not None
    words = " ".join(told.stdout.split())
    assert model.sentences[0] in words
    assert f"{model.test.n_rows if model.test else 0} rows that nothing was chosen on" in words
    refused(busy_desk("finalize", "no-such-search"), code="not_found")


def test_a_model_file_has_the_score_and_none_of_these_rows(busy_desk: Desk, tmp_path: Path) -> None:
    search = search_of(busy_desk, "test part", name="taken-home")
    model = busy_desk.master.finalize(search.id)
    path = tmp_path / "model.foldstep"
    done = busy_desk("export", search.id, "--format", "foldstep", "--out", str(path))
    assert done.returncode == 0, done.stderr
    card = load(path).card
    assert model.test is not None
    assert card["test"]["score"] == model.test.score
    assert card["test"]["sentences"] == model.sentences
    assert b"test.predictions" in checkpoints_of(search)[0].read_bytes()
    assert b"test.predictions" not in path.read_bytes()
