"""When a sweep ends."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from layerwise.finder._curve import RunningAverage
from layerwise.finder._sweep import broken, diverged, doubled, never, stop_rule


def running_average(losses):
    average = RunningAverage()
    return [average.add(loss) for loss in losses][-1]


FALL = np.concatenate([np.full(20, 2.3), np.linspace(2.3, 0.5, 30)])


def test_a_fall_is_no_divergence():
    assert not any(diverged(FALL[:n]) for n in range(1, len(FALL) + 1))


@pytest.mark.parametrize("rule", [diverged, doubled])
def test_a_steep_rise_is(rule):
    assert rule(np.concatenate([FALL, [5.0]]))


def test_a_rise_to_where_it_began_is_not_enough():
    assert not diverged(np.concatenate([FALL, [2.4]]))


@given(st.floats(0.1, 100), st.floats(-1000, -200))
def test_losses_below_0_diverge_as_well(scale, shift):
    curve = FALL * scale + shift
    rise = 2 * (abs(curve[0]) + scale * 10)
    assert not diverged(curve)
    assert diverged(np.concatenate([curve, [curve[0] + rise]]))


@pytest.mark.parametrize("seed", range(100))
def test_noise_around_0_is_no_divergence(seed):
    curve = running_average(np.random.default_rng(seed).normal(0, 1, 100).tolist())
    assert not any(diverged(curve[:n]) for n in range(1, 101))


def test_doubled_is_the_rule_of_older_finders():
    assert not doubled(np.array([1.0, 0.5, 2.0]))
    assert doubled(np.array([1.0, 0.5, 2.01]))


def test_never():
    assert not never(np.array([1.0, 1e30]))


def test_rules_by_name_and_as_functions():
    assert stop_rule("doubled") is doubled
    rule = lambda losses: len(losses) > 3  # noqa: E731
    assert stop_rule(rule) is rule


def test_only_a_row_of_bad_losses_is_broken():
    nan, inf = float("nan"), float("inf")
    assert not broken([1.0, nan, nan])
    assert not broken([nan, nan])
    assert not broken([nan, 1.0, nan, inf])
    assert broken([1.0, nan, inf, nan])


def test_the_running_average_is_corrected_for_its_start():
    assert running_average([3.0, 3.0, 3.0]).tolist() == pytest.approx([3.0, 3.0, 3.0], rel=1e-12)
    weights = np.array([0.2 * 0.8**2, 0.2 * 0.8, 0.2])
    expected = float(weights @ [1.0, 2.0, 4.0] / weights.sum())
    assert running_average([1.0, 2.0, float("nan"), 4.0])[-1] == pytest.approx(expected, rel=1e-12)
