"""When snapshots are taken: also of packs that lose a member in every epoch, and of packs whose epochs are long."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from foldstep.worker.train.loop import Training
from foldstep.worker.train.member import Member
from foldstep.worker.train.oversight import Limits
from foldstep.worker.train.trainer import PackTrainer
from tests.worker.train.test_loop import ENGINE, MIX, WINE, assert_same, members, train
from tests.worker.train.watch import Watch


class Saving(Watch):
    """A monitor that always wants snapshots, and looks at them."""

    def __init__(self, these: Sequence[Member]) -> None:
        super().__init__()
        self._members = these
        self.saved: list[int] = []

    def wants_snapshots(self) -> bool:
        return True

    def snapshots_taken(self) -> None:
        live = [m for m in self._members if not m.is_resting]
        assert all(m.snapshot is not None for m in live)
        self.saved.append(len(live))


def test_a_pack_that_is_rebuilt_after_every_epoch_is_saved_in_every_epoch() -> None:
    these = members(*({**MIX[0], "epochs": n} for n in range(1, 7)), folds=(0,))
    watch = Saving(these)
    train(these, watch)
    assert watch.saved == [5, 4, 3, 2, 1, 0]


@pytest.mark.parametrize("configurations", [[MIX[0]], MIX], ids=["one trial", "a mixture"])
def test_a_pack_whose_epochs_are_long_trains_on_in_parts_with_the_same_bits(
    configurations: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected, sizes = train(members(*configurations)), []
    right = PackTrainer.train_epoch

    def counted(self: PackTrainer, number: int) -> Any:
        sizes.append((self.backend, len(self.members)))
        return right(self, number)

    monkeypatch.setattr(PackTrainer, "train_epoch", counted)
    watch = Watch()
    Training(WINE, "log_loss", ENGINE).train(members(*configurations), watch, Limits(epoch_s=0.0))
    assert_same(watch, expected)
    compiled = [n for backend, n in sizes if backend == "compiled"]
    assert max(compiled) > 1
    assert compiled[-1] == 1, "as small as it gets"
