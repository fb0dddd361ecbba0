"""The checks that every room shares: what passes, what doesn't, and what the message says."""

from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

from layerwise import _checks
from layerwise.errors import ConfigError, FinderError, ScheduleError

NO_NUMBERS = (None, True, np.bool_(True), "3", b"3", [3], np.array([3]), 3j, Decimal(3), int)


@pytest.mark.parametrize("value", [3, 3.0, np.int8(3), np.float32(3.0), np.array(3), Fraction(3)])
def test_a_whole_number_of_any_kind_becomes_an_int(value):
    found = _checks.whole(value, "steps", ScheduleError)
    assert (found, type(found)) == (3, int)


@pytest.mark.parametrize("value", [*NO_NUMBERS, -1, 1.5, float("nan"), float("inf")])
def test_what_is_no_whole_number_is_named(value):
    with pytest.raises(ScheduleError) as caught:
        _checks.whole(value, "cosine: steps", ScheduleError)
    assert str(caught.value).startswith("cosine: steps must be a whole number of at least 0")
    assert str(caught.value).endswith(f", got {value!r}.")


def test_the_highest_whole_number_is_exact_and_named_where_it_matters():
    assert _checks.whole(2**53, "steps", ScheduleError) == 2**53
    assert _checks.whole(np.int64(2**53 - 1), "steps", ScheduleError) == 2**53 - 1
    for value in (2**53 + 1, np.int64(2**53 + 1), 10**400):
        with pytest.raises(ScheduleError, match=r"of at least 0 and at most 2\*\*53, got"):
            _checks.whole(value, "steps", ScheduleError)
    with pytest.raises(FinderError, match=r"rows must be .* of at least 2 and at most 9, got 1\."):
        _checks.whole(1, "rows", FinderError, at_least=2, at_most=9)


@pytest.mark.parametrize("value", [*NO_NUMBERS, -0.1, float("nan"), float("inf"), 10**400])
def test_what_is_no_finite_number_is_named(value):
    with pytest.raises(FinderError) as caught:
        _checks.number(value, "low", FinderError)
    assert str(caught.value) == f"low must be a finite number of at least 0, got {value!r}."


@pytest.mark.parametrize(
    ("bounds", "wrong", "allowed"),
    [
        ({"above": 0.0}, (0.0, -1), "a finite number above 0"),
        ({"above": 0.0, "below": 1.0}, (0.0, 1.0), "a finite number above 0 and below 1"),
        ({"at_least": 0.5, "below": 1.0}, (0.4, 1.0), "a finite number of at least 0.5 and below"),
        ({"at_least": None}, (float("-inf"),), "a finite number, got"),
    ],
)
def test_the_bounds_of_a_number(bounds, wrong, allowed):
    assert _checks.number(0.75, "low", FinderError, **bounds) == 0.75
    for value in wrong:
        with pytest.raises(FinderError, match=f"low must be {allowed}"):
            _checks.number(value, "low", FinderError, **bounds)


@pytest.mark.parametrize("value", [True, 2.0, "2", 3, None, np.array([2, 1])])
def test_a_choice_is_of_the_same_type(value):
    assert _checks.choice(2, "phases", ScheduleError, (2, 1)) == 2
    with pytest.raises(ScheduleError, match="phases must be one of 2, 1, got"):
        _checks.choice(value, "phases", ScheduleError, (2, 1))


@pytest.mark.parametrize("value", ["ab", b"ab", {"a": 1}, 3, None])
def test_a_sequence_is_no_string_and_no_dict(value):
    assert _checks.sequence(iter([1, 2]), "parts", ScheduleError) == (1, 2)
    with pytest.raises(ScheduleError, match="parts must be a sequence, got"):
        _checks.sequence(value, "parts", ScheduleError)


@pytest.mark.parametrize("value", ["", b"name", None, 3])
def test_a_text_is_a_string_with_something_in_it(value):
    assert _checks.text("name", "name", ScheduleError) == "name"
    with pytest.raises(ScheduleError, match="name must be a string that isn't empty, got"):
        _checks.text(value, "name", ScheduleError)


@pytest.mark.parametrize("value", [2, 0, True, "1", None])
def test_another_version_is_named_with_the_way_out(value):
    _checks.version(1, "The config of a schedule", ConfigError, known=1)
    with pytest.raises(ConfigError, match=r"has version .*, but this Layerwise reads version 1"):
        _checks.version(value, "The config of a schedule", ConfigError, known=1)
