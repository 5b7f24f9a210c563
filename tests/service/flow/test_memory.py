"""An analysis and the model of a learning method that take too much memory end in words, not the machine."""

from __future__ import annotations

import resource
from contextlib import closing

import psutil
import pytest

from foldstep.service.analysis.child import report_in_child
from foldstep.service.child import Limits
from foldstep.service.contract.errors import Unavailable
from foldstep.service.data.allowance import limits_to_compute, machine_bytes
from foldstep.service.flow.context import Context
from foldstep.service.flow.propose import propose
from foldstep.service.planner.child import Child, ProposingFailed
from foldstep.service.settings import Settings
from tests.service.analysis.test_importance import ACCURACY, SPACE, history, log_lr
from tests.service.conftest import MakeContext
from tests.service.flow.test_propose import boundary_request, child_process, learning_search, work
from tests.service.scenes import Hand

SETTING = "FOLDSTEP_COMPUTE_MEMORY_BYTES"
TIGHT = Limits(memory_bytes=2 << 20)


def test_an_analysis_that_takes_too_much_memory_is_refused() -> None:
    with pytest.raises(Unavailable, match=f"The analysis takes more than 2 MiB; raise {SETTING} of the master"):
        # where pandas is installed, scikit-learn brings it, and the memory that it leaves is enough for 20,000 trials
        report_in_child("s-1", ACCURACY, 0, SPACE, history(log_lr, 60_000), limits=TIGHT)


def test_a_model_that_takes_too_much_memory_is_refused_and_the_next_is_not(context: Context) -> None:
    few = boundary_request(context, learning_search(context, "gp")).model_copy(update={"method": "gp"})
    many = few.model_copy(update={"history": history(log_lr, 4_000), "space": SPACE})
    with closing(Child()) as child:
        with pytest.raises(ProposingFailed, match=f"its model takes more than 2 MiB of memory; raise {SETTING}"):
            child.propose(many, TIGHT)
        assert len(child.propose(few, limits_to_compute(context.settings))) == few.size


@pytest.mark.parametrize("given", [0, 1 << 32])
def test_the_planners_process_is_held_to_the_setting(make_context: MakeContext, given: int) -> None:
    tight = make_context(compute_memory_bytes=given)
    search = learning_search(tight, "tpe", budget={"trials": 12})
    while work(Hand(tight)):
        pass
    propose(tight, search)
    limit, _ = psutil.Process(child_process().pid).rlimit(resource.RLIMIT_AS)
    least = given or int(0.7 * machine_bytes())
    assert least < limit < least + (4 << 30), "what its libraries take comes on top"


def test_the_setting_comes_before_the_machines_share() -> None:
    assert limits_to_compute(Settings(compute_memory_bytes=7)) == Limits(memory_bytes=7)
    assert 0 < limits_to_compute(Settings()).memory_bytes < machine_bytes()
