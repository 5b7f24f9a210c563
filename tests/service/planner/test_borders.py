"""The border check: what is named, how far ranges are extended, and what a user is told."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foldstep.models.catalog.hyperparameters import lookup
from foldstep.models.catalog.metrics import Direction
from foldstep.service.contract.space import Choices, Distribution, FloatRange, IntRange, Space
from foldstep.service.contract.spec import BorderSpec
from foldstep.service.contract.states import TrialState
from foldstep.service.contract.trial import TrialRecord
from foldstep.service.planner.borders import Border, extend_borders, find_borders, report_borders
from foldstep.service.planner.evidence import Evidence
from tests.service.planner.spaces import finished


def history(name: str, values: list[float], best: float) -> list[TrialRecord]:
    """Trials whose score falls with the distance from `best`, in the exponent for positive numbers far apart."""
    return [finished(i, {name: v}, -abs(v - best)) for i, v in enumerate(values)]


def borders(name: str, distribution: Distribution, values: list[float], best: float) -> list[Border]:
    return find_borders(
        Space(parameters={name: distribution}), Evidence.of(history(name, values, best)), Direction.MAXIMIZE
    )


LR = FloatRange(low=1e-6, high=10.0, log=True)


@pytest.mark.parametrize(
    ("name", "distribution", "best", "edge"),
    [
        ("lr", LR, 8.1, "high"),
        ("lr", LR, 2.5, "high"),  # 0.914 of the way in the exponent
        ("lr", LR, 1.5, None),  # 0.88 of the way, though 1.5 is near 0 of the way on an even scale
        ("lr", LR, 2e-6, "low"),
        ("lr", FloatRange(low=1e-6, high=10.0), 2.5, None),
        ("dropout", FloatRange(low=0.1, high=0.8), 0.79, "high"),
        ("dropout", FloatRange(low=0.1, high=0.8), 0.16, "low"),
        ("dropout", FloatRange(low=0.1, high=0.8), 0.4, None),
        ("depth", IntRange(low=1, high=3), 3, "high"),
        ("depth", IntRange(low=1, high=3), 2, None),
        ("width", IntRange(low=16, high=256, log=True), 250, "high"),
        ("width", IntRange(low=16, high=256, log=True), 190, None),
        ("lr", Choices(choices=[0.1, 0.001, 0.01]), 0.1, "high"),
        ("lr", Choices(choices=[0.1, 0.001, 0.01]), 0.01, None),
        ("lr", Choices(choices=[0.1, 0.001]), 0.1, None),  # of two values one is always the edge
        ("seed", IntRange(low=0, high=9), 9, None),  # seeds have no order
    ],
)
def test_a_best_value_near_an_edge_is_named(
    name: str, distribution: Distribution, best: float, edge: str | None
) -> None:
    middle = distribution.from_unit(0.5)
    assert isinstance(middle, int | float)
    found = borders(name, distribution, [best, middle, middle, middle], best)
    assert [b.edge for b in found] == ([] if edge is None else [edge])


def test_both_edges_and_several_parameters_at_once() -> None:
    space = Space(parameters={"lr": LR, "width": IntRange(low=8, high=64), "depth": IntRange(low=4, high=4)})
    records = [finished(i, {"lr": 9.0 / 10**i, "width": 8 + 2 * i, "depth": 4}, -float(i)) for i in range(5)]
    assert [(b.parameter, b.edge) for b in find_borders(space, Evidence.of(records), Direction.MAXIMIZE)] == [
        ("lr", "high"),
        ("width", "low"),
    ]
    assert [(b.parameter, b.edge) for b in find_borders(space, Evidence.of(records), Direction.MINIMIZE)] == []


def test_a_clear_trend_is_named_though_the_best_is_inside() -> None:
    space = Space(parameters={"lr": LR})
    places = np.linspace(0.0, 0.89, 40)
    records = [finished(i, {"lr": LR.from_unit(u)}, u) for i, u in enumerate(places)]
    [border] = find_borders(space, Evidence.of(records), Direction.MAXIMIZE)
    assert (border.edge, border.is_trend) == ("high", True)
    assert report_borders(space, Evidence.of(records), Direction.MAXIMIZE)[0].sentence == (
        "lr: scores improve towards the high edge 10 of its range, the best value is 1.698; "
        "search again with high: 100."
    )


def test_a_peak_before_the_edge_is_no_trend() -> None:
    space = Space(parameters={"lr": LR})
    places = np.linspace(0.0, 1.0, 60)
    for peak in (0.6, 0.7, 0.8):
        records = [finished(i, {"lr": LR.from_unit(u)}, -abs(u - peak)) for i, u in enumerate(places)]
        assert find_borders(space, Evidence.of(records), Direction.MAXIMIZE) == []


def test_noise_is_no_trend() -> None:
    """In 200 searches without any influence at most one trend is found; the seed makes the test certain."""
    generator = np.random.default_rng(0)
    space = Space(parameters={"lr": LR})
    n_trends = 0
    for _ in range(200):
        records = [finished(i, {"lr": LR.from_unit(generator.random())}, generator.random()) for i in range(40)]
        n_trends += sum(b.is_trend for b in find_borders(space, Evidence.of(records), Direction.MAXIMIZE))
    assert n_trends <= 1


def test_without_a_finite_score_nothing_is_named() -> None:
    space = Space(parameters={"lr": LR})
    assert (
        find_borders(space, Evidence.of([finished(i, {"lr": 9.0}, None) for i in range(9)]), Direction.MAXIMIZE) == []
    )
    assert find_borders(space, Evidence.of([finished(0, {"lr": 9.0}, 1.0)]), Direction.MAXIMIZE) == []
    assert find_borders(space, Evidence.of([]), Direction.MAXIMIZE) == []


def test_diverged_trials_are_the_worst_and_failed_ones_say_nothing() -> None:
    space = Space(parameters={"lr": LR})
    values = [(9.0, None), (0.1, 3.0), (0.2, 2.0), (0.3, 1.0)]
    records = [finished(i, {"lr": v}, s) for i, (v, s) in enumerate(values)]
    broken = TrialRecord(number=9, stage=0, state=TrialState.FAILED, params={"lr": 9.0})
    assert find_borders(space, Evidence.of([*records, broken]), Direction.MINIMIZE) == []
    assert find_borders(space, Evidence.of([*records, broken]), Direction.MAXIMIZE) == []


def test_a_parameter_that_the_best_trial_lacks_is_not_named() -> None:
    space = Space(
        parameters={
            "optimizer": Choices(choices=["adam", "sgd"]),
            "momentum": FloatRange(low=0.5, high=0.9, when={"optimizer": ["sgd"]}),
        }
    )
    sgd = [finished(i, {"optimizer": "sgd", "momentum": 0.9 - i / 10}, -float(i)) for i in range(4)]
    adam = finished(7, {"optimizer": "adam"}, 1.0)
    assert [b.parameter for b in find_borders(space, Evidence.of(sgd), Direction.MAXIMIZE)] == ["momentum"]
    assert find_borders(space, Evidence.of([*sgd, adam]), Direction.MAXIMIZE) == []


EXTENSIONS: list[tuple[str, Distribution, float, float | None]] = [
    ("lr", LR, 8.1, 100.0),
    ("lr", LR, 1.1e-6, 1e-7),
    ("lr", FloatRange(low=0.1, high=0.5), 0.5, 0.7),
    ("lr", FloatRange(low=0.1, high=0.5), 0.1, 0.05),  # half of the way to 0, which is no rate
    ("lr", FloatRange(low=0.1, high=0.5, step=0.1), 0.1, None),
    ("dropout", FloatRange(low=0.1, high=0.8), 0.79, 0.9),  # half of the way to 1
    ("dropout", FloatRange(low=0.1, high=0.8), 0.1, 0.0),
    ("dropout", FloatRange(low=0.0, high=0.8), 0.0, None),
    ("dropout", FloatRange(low=0.1, high=0.8, step=0.1), 0.8, 0.9),
    ("dropout", FloatRange(low=0.3, high=0.8, step=0.1), 0.3, 0.0),
    ("dropout", FloatRange(low=0.0, high=0.9, step=0.3), 0.9, None),
    ("dropout", FloatRange(low=0.001, high=0.5, log=True), 0.5, 0.75),
    ("width", IntRange(low=16, high=256, log=True), 256, 512),
    ("width", IntRange(low=16, high=256, log=True), 16, 8),
    ("width", IntRange(low=1, high=256, log=True), 1, None),
    ("width", IntRange(low=2, high=65_000, log=True), 65_000, 65_536),
    ("depth", IntRange(low=1, high=4), 4, 6),
    ("depth", IntRange(low=1, high=4), 1, 0),
    ("batch_size", IntRange(low=32, high=128, step=32), 128, 192),
    ("batch_size", IntRange(low=32, high=128, step=32), 32, None),
    ("lr", FloatRange(low=1e307, high=1.7e308, log=True), 1.7e308, None),
    ("lr", Choices(choices=[0.1, 0.001, 0.01]), 0.1, None),
]


@pytest.mark.parametrize(("name", "distribution", "best", "new_edge"), EXTENSIONS)
def test_how_far_a_range_is_extended(
    name: str, distribution: Distribution, best: float, new_edge: float | None
) -> None:
    found = borders(name, distribution, [best] * 4, best)
    extended = extend_borders(found, Space(parameters={name: distribution}), BorderSpec(), {})
    [finding] = extended.findings
    assert finding.extended_to == (None if new_edge is None else pytest.approx(new_edge))
    after = extended.space.parameters[name]
    if new_edge is None:
        assert after == distribution
        assert extended.extensions == {}
    else:
        assert getattr(after, finding.edge) == pytest.approx(new_edge)
        assert after.contains(best)
        assert extended.extensions == {name: 1}


@st.composite
def ranges_in_their_domain(draw: st.DrawFn) -> tuple[str, FloatRange | IntRange]:
    name = draw(st.sampled_from(["lr", "dropout", "beta1", "weight_decay", "width", "depth", "batch_size", "momentum"]))
    row = lookup(name)
    assert row is not None
    if row.kind == "int":
        low = draw(st.integers(1, 60))
        return name, IntRange(low=low, high=draw(st.integers(low + 1, 64)), step=draw(st.integers(1, 2)))
    low_f = draw(st.floats(1e-9, 0.5))
    high = draw(st.floats(low_f * 1.01, 0.999))
    step = draw(st.none() | st.floats((high - low_f) / 20, high - low_f))
    return name, FloatRange(low=low_f, high=high, step=step, log=step is None and draw(st.booleans()))


@given(named=ranges_in_their_domain(), edge=st.sampled_from(["low", "high"]))
def test_extensions_never_leave_the_domain(named: tuple[str, FloatRange | IntRange], edge: str) -> None:
    name, distribution = named
    row = lookup(name)
    assert row is not None
    for _ in range(30):
        best = distribution.low if edge == "low" else distribution.high
        space = Space(parameters={name: distribution})
        extension = extend_borders(borders(name, distribution, [best] * 4, best), space, BorderSpec(), {})
        after = extension.space.parameters[name]
        assert isinstance(after, FloatRange | IntRange)
        assert row.allows(after.low)
        assert row.allows(after.high)
        assert after.low <= distribution.low <= distribution.high <= after.high or after.step is not None
        for u in (0.0, 0.5, 0.999999):
            assert row.allows(after.from_unit(u))
        distribution = after


def test_extensions_are_counted_and_end() -> None:
    found = borders("lr", LR, [9.0] * 4, 9.0)
    space = Space(parameters={"lr": LR})
    policy = BorderSpec(extensions=2)
    assert extend_borders(found, space, policy, {"lr": 1, "width": 1}).extensions == {"lr": 2, "width": 1}
    spent = extend_borders(found, space, policy, {"lr": 2})
    assert (spent.space, spent.extensions) == (space, {"lr": 2})
    assert spent.findings[0].extended_to is None


def sentence(policy: BorderSpec, used: int = 0, distribution: Distribution = LR, best: float = 8.1) -> str:
    found = borders("lr", distribution, [best] * 4, best)
    return extend_borders(found, Space(parameters={"lr": distribution}), policy, {"lr": used}).findings[0].sentence


def test_the_sentences() -> None:
    start = "lr: the best value 8.1 lies at the high edge 10 of its range; "
    assert sentence(BorderSpec()) == start + "extended to 100 in the next stage."
    assert sentence(BorderSpec(), used=2) == (
        start + "it was extended 2 times, as often as border.extensions allows, search again with high: 100."
    )
    assert sentence(BorderSpec(extend=False)) == (
        start + "extending is switched off (border.extend), search again with high: 100."
    )
    assert sentence(BorderSpec(), distribution=Choices(choices=[0.1, 1.0, 8.1])) == (
        "lr: the best value is the high edge 8.1 of its range; search again with a value above 8.1."
    )
    last = report_borders(Space(parameters={"lr": LR}), Evidence.of(history("lr", [8.1] * 4, 8.1)), Direction.MAXIMIZE)
    assert [f.sentence for f in last] == [start + "search again with high: 100."]
    assert last[0].extended_to is None
    dropout = FloatRange(low=0.0, high=0.5)
    at_zero = report_borders(
        Space(parameters={"dropout": dropout}), Evidence.of(history("dropout", [0.0] * 4, 0.0)), Direction.MAXIMIZE
    )
    assert at_zero[0].sentence == (
        "dropout: the best value is the low edge 0 of its range; there is nothing to extend, for it can go no further."
    )


def test_the_rank_correlation_is_spearmans() -> None:
    from scipy import stats

    from foldstep.service.planner.borders import _rank_correlation

    generator = np.random.default_rng(1)
    for _ in range(20):
        a, b = generator.integers(0, 9, 30).astype(float), generator.normal(size=30)
        b[:3] = math.inf
        assert _rank_correlation(a, b) == pytest.approx(stats.spearmanr(a, stats.rankdata(b)).statistic)
