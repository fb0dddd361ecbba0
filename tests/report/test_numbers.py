"""The moving average, and how numbers are written."""

import numpy as np
import pytest

from layerwise.report._average import moving_average, window_of
from layerwise.report._format import duration, number, whole


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


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (0.001, "1e-3"),
        (0.01, "0.01"),
        (-2.5e-7, "-2.5e-7"),
        (0.123456, "0.1235"),
        (12_345.6, "12,346"),
        (1.0, "1"),
        (3e9, "3e9"),
        (float("inf"), "∞"),
        (float("nan"), "NaN"),
    ],
)
def test_a_number_is_written_as_a_person_would(value, text):
    assert number(value) == text


def test_spans_and_counts():
    assert [duration(s) for s in (59.6, 3_600, 3_725, 200_000)] == [
        "1 min",
        "1 h",
        "1 h 2 min",
        "2 d 7 h",
    ]
    assert (duration(float("nan")), whole(float("nan"))) == ("—", "—")
