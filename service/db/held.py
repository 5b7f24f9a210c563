"""The trials under a lease, as a report needs them."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import Connection, bindparam, select

from foldstep.service.contract.states import TrialState
from foldstep.service.db.prepared import Prepared
from foldstep.service.db.tables import trials
from foldstep.service.db.trials import RungScores


class HeldTrial(NamedTuple):
    """A trial that a lease took and has not given back.

    Attributes:
        epoch: that it has reached, under this lease or before.
        epochs: that it is to train.
    """

    state: TrialState
    epoch: int
    stage: int
    epochs: int
    rungs: RungScores | None


_OF_HELD = (trials.c[name] for name in ("number", *HeldTrial._fields))
_HELD_BY = select(*_OF_HELD).where(trials.c.lease_id == bindparam("lease")).order_by(trials.c.number)
_HELD = Prepared(_HELD_BY.with_for_update(key_share=True), ("lease",))


def trials_of(connection: Connection, lease_id: int) -> dict[int, HeldTrial]:
    """Find the trials of a lease, as `trials.under` does, and how far they are."""
    return {number: HeldTrial(*rest) for number, *rest in _HELD.rows(connection, {"lease": lease_id})}
