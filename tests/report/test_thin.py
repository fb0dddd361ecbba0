"""Thinning: fewer points, the same extremes."""

import numpy as np
import pytest

from layerwise.report._thin import evenly, places_of_extremes, thin_columns


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
