import re
from fractions import Fraction

import numpy as np
import pytest

from layerwise.errors import MultiplierError
from layerwise.multipliers import Override, check_value, override
from layerwise.multipliers._values import same_value, value_at
from layerwise.schedules import constant, cosine


class Variable:
    """What looks like a framework's variable: it can be assigned to."""

    shape = ()
    dtype = "float32"

    def assign(self, value):
        raise AssertionError(value)

    def __float__(self):
        return 1.0


class Tensor:
    """What looks like a framework's scalar tensor."""

    shape = ()

    def __init__(self, value, dtype="torch.bfloat16"):
        self.value, self.dtype = value, dtype

    def __float__(self):
        return float(self.value)


class Traced(Tensor):
    """A tensor without a value yet."""

    def __float__(self):
        raise RuntimeError("no value while tracing")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1, 1.0),
        (0, 0.0),
        (-0.0, 0.0),
        (0.1, 0.1),
        (np.float32(0.5), 0.5),
        (np.int64(3), 3.0),
        (np.array(0.25), 0.25),
        (np.array(2, dtype=np.uint8), 2.0),
        (Fraction(1, 4), 0.25),
        (Tensor(0.5), 0.5),
        (Tensor(2, "<dtype: 'int32'>"), 2.0),
    ],
)
def test_numbers_become_floats(value, expected):
    checked = check_value(value, "here")
    assert type(checked) is float
    assert checked == expected
    assert not np.signbit(checked)


def test_schedules_and_callables_stay_what_they_are():
    schedule = cosine(10)

    def function(step):
        return step

    assert check_value(schedule, "here") is schedule
    assert check_value(function, "here") is function


@pytest.mark.parametrize(
    "value",
    [
        -1,
        -1e-30,
        float("nan"),
        float("inf"),
        -float("inf"),
        np.float32("nan"),
        np.array(-0.5),
        10**400,
        True,
        False,
        np.bool_(True),
        np.array(True),
        "0.1",
        b"1",
        np.array("0.1"),
        None,
        1j,
        np.array([1.0]),
        [1.0],
        {"kernel": 1.0},
        float,
        object(),
        Variable(),
        Traced(1.0),
        override(0.5),
        np.datetime64("2020-01-01"),
    ],
    ids=repr,
)
def test_everything_else_is_refused_with_place_and_value(value):
    with pytest.raises(MultiplierError) as caught:
        check_value(value, "the rule 'head'")
    message = str(caught.value)
    assert message.startswith(f"the rule 'head' has the multiplier {value!r}; ")
    assert "a finite number of at least 0, a schedule, or a callable of the step" in message


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        (float, "float is a class: hand in an object made from it"),
        (Variable(), "A variable would be read only once: hand in a function that returns it"),
        (override(1.0), r"override\(...\) belongs to a rule: take its value here"),
    ],
)
def test_near_misses_get_a_hint(value, hint):
    with pytest.raises(MultiplierError, match=hint):
        check_value(value, "here")


def test_override_is_checked_frozen_and_equal_by_value():
    assert override(1) == Override(1.0)
    assert type(override(np.float32(0.5)).value) is float
    assert repr(override(0.5)) == "override(0.5)"
    assert hash(override(cosine(5))) == hash(override(cosine(5)))
    with pytest.raises(AttributeError):
        override(1).value = 2
    with pytest.raises(MultiplierError, match=re.escape("override(...) has the multiplier -1")):
        override(-1)


def test_same_value_is_by_value_for_numbers_and_schedules_and_by_identity_for_callables():
    def one(step):
        return step

    assert same_value(0.5, 0.5)
    assert not same_value(0.5, 0.25)
    assert same_value(cosine(5), cosine(5))
    assert not same_value(cosine(5), cosine(6))
    assert same_value(one, one)
    assert not same_value(one, lambda step: step)
    assert not same_value(1.0, constant(1.0))


def test_value_at_calls_callables_with_the_whole_step():
    seen = []

    def function(step):
        seen.append(step)
        return np.float32(0.5)

    assert value_at(0.25, 7, "here") == 0.25
    assert value_at(function, 7, "here") == 0.5
    assert seen == [7]
    assert type(seen[0]) is int
    assert value_at(cosine(10), 5, "here") == pytest.approx(0.5)
    assert value_at(lambda step: step > 5, 7, "here") == 1.0


@pytest.mark.parametrize("result", [-1.0, float("nan"), float("inf"), "1", None, [1.0]])
def test_a_callable_that_returns_no_multiplier_is_an_error_that_says_when(result):
    with pytest.raises(MultiplierError) as caught:
        value_at(lambda step: result, 12, "The multiplier of 'head/kernel'")
    message = str(caught.value)
    assert message.startswith(f"The multiplier of 'head/kernel' is {result!r} at step 12; ")
    assert "must be a finite number of at least 0" in message
