"""Series for the eye: thinning keeps the extremes, and the moving average is a mean."""

import numpy as np
import pytest

from layerwise._series import (
    evenly,
    moving_average,
    places_of_extremes,
    thin_columns,
    window_of,
)


@pytest.mark.parametrize("count", [401, 1_000, 99_999])
def test_every_stretch_keeps_its_lowest_and_its_highest(count):
    values = np.random.default_rng(count).standard_normal(count)
    kept = places_of_extremes(values, 400)
    assert len(kept) <= 402
    assert {0, count - 1, int(values.argmin()), int(values.argmax())} <= set(kept.tolist())
    assert (np.diff(kept) > 0).all()
    # No spike of any place is lost: a line through what is kept covers the same heights.
    for place in range(0, count, count // 20):
        spiked = values.copy()
        spiked[place] = 1e9
        assert place in places_of_extremes(spiked, 400)


def test_few_values_all_stay():
    assert places_of_extremes(np.array([3.0, np.nan]), 400).tolist() == [0, 1]
    assert places_of_extremes(np.array([]), 400).tolist() == []


def test_what_is_not_finite_hides_no_extreme():
    values = np.full(10_000, np.nan)
    values[1234], values[1240], values[1236] = 5.0, -5.0, np.inf
    kept = set(places_of_extremes(values, 100).tolist())
    assert {1234, 1240} <= kept
    assert 1236 not in kept


def test_each_row_of_a_table_keeps_its_own_extremes():
    table = np.random.default_rng(1).standard_normal((7, 5_000))
    table[3, 777], table[4, 4321] = 99.0, -99.0
    places, thin = thin_columns(table, 200)
    assert thin.shape == (7, 200) == (7, len(places))
    assert (np.diff(places) > 0).all()
    np.testing.assert_array_equal(thin.max(axis=1), table.max(axis=1))
    np.testing.assert_array_equal(thin.min(axis=1), table.min(axis=1))
    assert abs(places[thin[3].argmax()] - 777) <= 50


def test_a_small_table_stays():
    places, thin = thin_columns(np.eye(3), 200)
    assert places.tolist() == [0, 1, 2]
    np.testing.assert_array_equal(thin, np.eye(3))


def test_evenly_has_both_ends():
    assert evenly(3, 10).tolist() == [0, 1, 2]
    assert evenly(1, 6).tolist() == [0]
    assert evenly(1_000, 3).tolist() == [0, 500, 999]


@pytest.mark.parametrize(("count", "window"), [(1, 1), (50, 7), (49, 7), (48, 7), (30, 100)])
def test_the_average_is_the_mean_of_the_window(count, window):
    values = np.random.default_rng(count).standard_normal(count)
    expected = [values[max(0, end - window) : end].mean() for end in range(1, count + 1)]
    # Sums of at most 100 numbers of size 1, in another order.
    np.testing.assert_allclose(moving_average(values, window), expected, rtol=0, atol=1e-13)


def test_a_blow_up_is_forgotten_when_it_has_left_the_window():
    values = np.ones(100)
    values[30] = 1e30
    averages = moving_average(values, 10)
    assert averages[29] == 1.0
    assert averages[30] > 1e28
    assert (averages[40:] == 1.0).all()


def test_what_is_not_finite_is_left_out():
    averages = moving_average(np.array([np.nan, 2.0, np.inf, 4.0]), 2)
    np.testing.assert_array_equal(averages, [np.nan, 2.0, 2.0, 4.0])


@pytest.mark.parametrize("count", [0, 1, 99, 100, 12_345])
def test_the_window_is_at_most_a_fiftieth(count):
    assert 1 <= window_of(count) <= max(1, count / 50)
