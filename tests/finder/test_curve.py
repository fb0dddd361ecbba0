"""Smoothing, and the classical rules on curves whose answer is known."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from layerwise.errors import FinderError
from layerwise.finder import (
    SweepPoints,
    candidates,
    minimum_over_10,
    slide,
    smooth,
    steepest,
    valley,
)
from layerwise.finder._curve import from_curve

RATES = np.geomspace(1e-5, 10, 61)  # ten a decade
LOG = np.log10(RATES).round(9)  # its decades are whole numbers on every machine


def sigmoid_fall(centre, width=0.5):
    return 2.0 - 1.5 / (1 + np.exp(-(LOG - centre) / width))


def test_steepest_is_the_middle_of_an_even_fall():
    assert np.log10(steepest(RATES, sigmoid_fall(-2.0))) == pytest.approx(-2.0, abs=0.11)


def test_steepest_sees_the_logarithm_of_uneven_rates():
    # Over the rate itself the first fall is the steeper one.
    assert steepest([0.1, 0.2, 10.0, 20.0], [5.0, 4.0, 3.9, 2.8]) == 10.0


def test_a_tenth_of_the_minimum():
    assert minimum_over_10(RATES, (LOG + 1.0) ** 2) == pytest.approx(1e-2, rel=1e-9)


def test_valley_is_half_way_down():
    losses = np.where(LOG < -3, 5.0, np.where(LOG <= 0, 5.0 - (LOG + 3), 9.0))
    assert np.log10(valley(RATES, losses)) == pytest.approx(-1.5, abs=0.21)


def test_valley_jumps_over_gaps():
    losses = np.linspace(5, 1, 61)
    whole = valley(RATES, losses)
    losses[10] = 7.0
    assert valley(RATES, losses) == pytest.approx(whole, rel=0.3)


def test_slide_stops_where_both_ends_slope_alike():
    flat_then_up = np.where(LOG < -1, 1.0, 1.0 + (LOG + 1) ** 3)
    found = slide(RATES, flat_then_up)
    place = int(np.argmin(np.abs(RATES - found)))
    slopes = np.gradient(flat_then_up)
    assert abs(slopes[place - 1 + 15] - slopes[place - 1]) <= 0.005
    assert abs(slopes[place + 15] - slopes[place]) > 0.005


@pytest.mark.parametrize("rule", [steepest, minimum_over_10, valley])
def test_no_fall_no_answer(rule):
    assert rule(RATES, np.linspace(1, 2, 61)) is None
    assert rule([0.1, 0.2], [2.0, 1.0]) is None


def test_slide_needs_its_window():
    assert slide(RATES[:15], LOG[:15]) is None


@pytest.mark.parametrize("rule", [steepest, minimum_over_10, valley, slide])
def test_points_that_are_not_finite_are_left_out(rule):
    losses = (LOG + 1.0) ** 2
    holes = np.insert(losses, [5, 20], [np.nan, np.inf])
    rates = np.insert(RATES, [5, 20], [2e-5, 1e-3])
    assert rule(rates, holes) == rule(RATES, losses) is not None


@given(st.lists(st.floats(-10, 10), max_size=40))
def test_any_curve_has_all_candidates_within_it(losses):
    rates = np.geomspace(1e-4, 1, max(len(losses), 1))[: len(losses)]
    found = candidates(rates, losses)
    assert set(found) == {"steepest", "minimum / 10", "valley", "slide"}
    for name, rate in found.items():
        lowest = rates.min(initial=1) / (10 if name == "minimum / 10" else 1)
        assert rate is None or lowest <= rate <= 1


def test_losses_near_the_largest_float_raise_no_warning():
    losses = np.concatenate([(LOG[:58] + 1.0) ** 2, [1.7e308, 1.6e308, 1.7e308]])
    assert np.isfinite(smooth(losses)[:50]).all()
    assert candidates(RATES, losses)["minimum / 10"] == pytest.approx(0.01)


def test_smoothing_is_the_weighted_mean():
    losses = np.array([1.0, 2.0, 1.5, 1.8, 1.1])
    weights = np.exp(-(((np.arange(5) - 2) / 1.5) ** 2) / 2)
    assert smooth(losses, 1.5)[2] == pytest.approx(weights @ losses / weights.sum(), rel=1e-12)


@pytest.mark.parametrize("loss", [1.0, 1.1, 2.3, 0.3, 1e-5, 1e6 + 0.1])
@pytest.mark.parametrize("points", [10, 30, 100, 300])
def test_a_loss_that_never_moves_suggests_nothing(loss, points):
    rates, losses = np.geomspace(1e-7, 10, points), [loss] * points
    assert smooth(losses).tolist() == losses
    sweep = SweepPoints()
    for rate in rates:
        sweep.add(rate, loss)
    assert sweep.suggested().rate is None
    found = candidates(rates, smooth(losses))
    assert [found[name] for name in ("steepest", "minimum / 10", "valley")] == [None] * 3


def test_a_flat_beginning_is_no_fall():
    losses = [1.1] * 80 + [1.1 + 0.1 * n for n in range(20)]
    assert from_curve(np.geomspace(1e-6, 1, 100), losses).rate is None


def test_smoothing_a_long_curve_takes_no_table_of_all_pairs():
    losses = np.cos(np.arange(2000))
    tracemalloc.start()
    smooth(losses)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 100 * losses.nbytes


def test_smoothing_moves_nothing_to_the_side():
    smoothed = smooth((LOG + 1.0) ** 2, 3.0)
    assert RATES[smoothed.argmin()] == pytest.approx(0.1, rel=1e-9)


def test_a_divergence_does_not_hide_the_minimum_before_it():
    losses = np.concatenate([(LOG[:45] + 1.0) ** 2, [1e9, 1e30]])
    smoothed = smooth(losses, 2.0)
    assert abs(int(smoothed.argmin()) - 40) <= 1
    assert smoothed[:45].max() <= losses[0]
    assert smoothed[-1] > 1e29


def test_smoothing_without_width_or_without_losses():
    assert smooth([1.0, np.inf, 2.0], 0)[[0, 2]].tolist() == [1.0, 2.0]
    assert np.isnan(smooth([1.0, np.inf], 0)[1])
    assert np.isnan(smooth([np.nan, np.nan])).all()
    assert smooth([]).shape == (0,)


@pytest.mark.parametrize("width", [-1.0, np.inf, np.nan])
def test_a_width_that_is_none(width):
    with pytest.raises(FinderError, match="smoothing must be"):
        smooth([1.0], width)
