"""The child that works with networks: a master that was not told of one says so; one that dies is a refusal."""

from __future__ import annotations

from pathlib import Path

import pytest

from foldstep.service.analysis.networks import predict_in_child
from foldstep.service.child import NO_LIMITS
from foldstep.service.contract.errors import InvalidInput, Unavailable
from foldstep.service.contract.prediction import ChosenFiles, CommitteeFiles, PredictionOptions, PredictionRequest


def asked(folder: Path) -> PredictionRequest:
    committee = CommitteeFiles(trial=0, weight=1.0, checkpoints=[folder / "gone.safetensors"])
    chosen = ChosenFiles(search="s", words="One.", committees=[committee])
    options = PredictionOptions()
    return PredictionRequest(chosen=chosen, file=folder / "rows.json", is_json=True, options=options, most_rows=9)


def test_a_master_that_was_told_of_no_child_refuses(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="start `foldstep serve`"):
        predict_in_child("", asked(tmp_path), NO_LIMITS)


def test_a_child_that_dies_is_no_answer(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"The prediction ended early \(.*no_such_module"):
        predict_in_child("foldstep.no_such_module", asked(tmp_path), NO_LIMITS)


def test_a_checkpoint_that_is_gone_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"gone\.safetensors cannot be used as a checkpoint"):
        predict_in_child("foldstep.answering", asked(tmp_path), NO_LIMITS)
