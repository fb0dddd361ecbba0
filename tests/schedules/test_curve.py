"""Values at many steps: one call for a closed form, one for each distinct step elsewhere."""

from dataclasses import dataclass

import numpy as np
import pytest

from layerwise.schedules import Schedule, cosine, from_function, is_closed_form, values_over
from tests._support.schedules import SCHEDULES

STEPS = np.array([7, 0, 7, 120, 3])


@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=list(SCHEDULES))
def test_only_a_function_inside_is_no_closed_form(schedule):
    assert is_closed_form(schedule) == ("from_function" not in repr(schedule))


@dataclass(frozen=True, repr=False)
class Half(Schedule):
    """A class of a user's own, with a schedule among its arguments."""

    inner: Schedule

    def evaluate(self, clock):
        return self.inner.evaluate(clock) * 0.5


def test_a_class_of_ones_own_is_looked_into():
    assert is_closed_form(Half(cosine(10)))
    assert not is_closed_form(Half(from_function(abs) * cosine(10)))
    assert not is_closed_form(lambda step: step)
    assert is_closed_form(3)


@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=list(SCHEDULES))
def test_values_equal_those_of_a_call(schedule):
    values = values_over(schedule, STEPS)
    assert values.dtype == np.float64
    if is_closed_form(schedule):
        np.testing.assert_array_equal(values, schedule(STEPS))
    else:
        assert values.tolist() == [schedule(int(step)) for step in STEPS]


def test_a_closed_form_is_called_once_and_a_function_once_for_each_step():
    asked = []

    def ours(value, step):
        asked.append(step)
        return float(value(step)) + 100.0

    assert values_over(0.25, STEPS, ours).tolist() == [0.25] * 5
    assert values_over(cosine(10), STEPS, ours).tolist() == cosine(10)(STEPS).tolist()
    assert asked == []
    assert values_over(lambda step: step, STEPS, ours).tolist() == [107, 100, 107, 220, 103]
    assert asked == [0, 3, 7, 120]
    assert all(type(step) is int for step in asked)


def test_no_steps_have_no_values():
    for value in (0.5, cosine(10), abs):
        assert values_over(value, STEPS[:0]).shape == (0,)
