"""Random spaces and specs for the tests of the planners."""

from __future__ import annotations

import math
from typing import Any

from hypothesis import strategies as st

from foldstep.service.contract.space import Choices, Distribution, Either, Fixed, FloatRange, IntRange, Params, Space
from foldstep.service.contract.spec import DataSpec, Spec
from foldstep.service.contract.states import TrialState
from foldstep.service.contract.trial import TrialRecord

NAMES = ("lr", "width", "dropout", "optimizer", "momentum", "weight_decay", "batch_size")


def spec_of(parameters: dict[str, Distribution], **changes: Any) -> Spec:
    """Make a spec over a space, on bundled data."""
    return Spec.model_validate(
        {"name": "test", "data": DataSpec(dataset="digits"), "space": Space(parameters=parameters), **changes}
    )


def finished(number: int, params: Params, score: float | None, **changes: Any) -> TrialRecord:
    """Make the record of a finished trial; it diverged if it has no score."""
    state = TrialState.DIVERGED if score is None else TrialState.COMPLETED
    return TrialRecord.model_validate(
        {"number": number, "stage": 0, "state": state, "params": params, "score": score, **changes}
    )


@st.composite
def stepped_ranges(draw: st.DrawFn) -> FloatRange:
    """Draw a range with a step and one to six values; its upper end may lie between two steps."""
    low, step = draw(st.floats(-5, 5)), draw(st.floats(0.1, 2))
    return FloatRange(low=low, high=low + step * draw(st.floats(0, 5)), step=step)


@st.composite
def float_ranges(draw: st.DrawFn) -> FloatRange:
    """Draw a range, linear or logarithmic, possibly of a single point."""
    log = draw(st.booleans())
    low = draw(st.floats(1e-8, 10) if log else st.floats(-100, 100))
    return FloatRange(low=low, high=low * draw(st.floats(1, 1e6)) if log else low + draw(st.floats(0, 50)), log=log)


@st.composite
def int_ranges(draw: st.DrawFn, *, log: bool) -> IntRange:
    """Draw an integer range that is small enough for a grid."""
    low = draw(st.integers(1, 20))
    step = 1 if log else draw(st.integers(1, 3))
    return IntRange(low=low, high=low + draw(st.integers(0, 6)), log=log, step=step)


@st.composite
def with_extra(draw: st.DrawFn, ranges: st.SearchStrategy[FloatRange | IntRange]) -> Either:
    """Draw a range, and one to three values outside of it."""
    of = draw(ranges)
    outside = [of.low - 1, of.high + 1, of.high + 5]
    return Either(range=of, extra=draw(st.lists(st.sampled_from(outside), min_size=1, max_size=3, unique=True)))


_CHOICES = st.lists(st.sampled_from(["a", "b", "c", "d"]), min_size=1, max_size=4, unique=True)
GRID_DISTRIBUTIONS = st.one_of(
    st.builds(Fixed, value=st.integers(1, 9)),
    st.builds(Choices, choices=_CHOICES),
    stepped_ranges(),
    int_ranges(log=False),
    with_extra(st.one_of(stepped_ranges(), int_ranges(log=False))),
)
ANY_DISTRIBUTIONS = st.one_of(
    GRID_DISTRIBUTIONS,
    float_ranges(),
    int_ranges(log=True),
    with_extra(st.one_of(float_ranges(), int_ranges(log=True))),
)


@st.composite
def spaces(draw: st.DrawFn, distributions: st.SearchStrategy[Distribution] = ANY_DISTRIBUTIONS) -> Space:
    """Draw a space whose parameters may depend on values of others, written in any order."""
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=5, unique=True))
    parameters: dict[str, Distribution] = {}
    for name in names:
        when: dict[str, list[Any]] = {}
        for other in parameters:
            values = [parameters[other].from_unit(u) for u in (0.1, 0.6, 0.9)]
            if draw(st.integers(0, 3)) == 0:
                given = draw(st.lists(st.sampled_from(values), min_size=1, max_size=3))
                when[other] = [
                    v for v in given if _is_extra(parameters[other], v) == _is_extra(parameters[other], given[0])
                ]
        parameters[name] = draw(distributions).model_copy(update={"when": when or None})
    order = draw(st.permutations(names))
    return Space(parameters={name: parameters[name] for name in order})


def _is_extra(distribution: Distribution, value: Any) -> bool:
    return isinstance(distribution, Either) and value in distribution.extra


def log10_of(params: Params, name: str) -> float:
    """Compute the base-10 logarithm of a positive hyperparameter."""
    value = params[name]
    assert isinstance(value, int | float)
    return math.log10(value)
