"""Schedules made of schedules: values, lengths, text, and what can't be combined."""

import copy
import pickle
from dataclasses import FrozenInstanceError

import numpy as np
import pytest

from layerwise.errors import ScheduleError
from layerwise.schedules import (
    constant,
    cosine,
    cosine_restarts,
    cyclic,
    exponential,
    from_function,
    inverse_sqrt,
    linear,
    one_cycle,
    piecewise_constant,
    warmup,
)
from tests._support.schedules import SCHEDULES, Sawtooth, evaluate


def values(schedule, *steps):
    return [schedule(step) for step in steps]


def test_then_runs_each_part_on_a_clock_of_its_own():
    schedule = warmup(10) >> linear(20, start=2.0, end=1.0) >> constant(0.25)
    assert values(schedule, 0, 5, 9, 10, 20, 30, 99) == [0.0, 0.5, 0.9, 2.0, 1.5, 0.25, 0.25]
    assert schedule == warmup(10).then(linear(20, start=2.0, end=1.0)).then(constant(0.25))


def test_the_design_reads_as_it_runs():
    schedule = warmup(500) >> cosine(9_500)
    assert values(schedule, 0, 250, 500, 10_000) == [0.0, 0.5, 1.0, 0.0]
    assert schedule(500 + 4750) == pytest.approx(0.5)
    assert repr(schedule) == "warmup(500) >> cosine(9500)"


def test_product():
    schedule = linear(10) * linear(20)
    assert values(schedule, 0, 5, 10) == [1.0, 0.375, 0.0]
    assert values(3e-4 * linear(10), 0, 5) == [3e-4, 1.5e-4]
    assert linear(10) * 3e-4 == 3e-4 * linear(10) == np.float64(3e-4) * linear(10)
    assert (linear(10) * 0.5) * (warmup(3) * 4) == linear(10) * warmup(3) * 2


def test_clamp():
    schedule = linear(10, start=1.0, end=0.0).clamp(0.25, 0.75)
    assert values(schedule, 0, 5, 10) == [0.75, 0.5, 0.25]
    assert linear(10).clamp(low=0.25)(10) == 0.25
    assert linear(10).clamp(high=0.25)(0) == 0.25


def test_delay():
    schedule = linear(10).delay(5)
    assert values(schedule, 0, 5, 10, 15, 16) == [1.0, 1.0, 0.5, 0.0, 0.0]


def test_skip():
    schedule = linear(10).skip(4)
    assert values(schedule, 0, 1, 6, 7) == [0.6, 0.5, 0.0, 0.0]
    assert values(cyclic(2, low=0.0).skip(3), 0, 1, 2, 3) == [0.5, 0.0, 0.5, 1.0]
    assert values((warmup(4) >> linear(4)).skip(3), 0, 1, 2) == [0.75, 1.0, 0.75]
    # What is left may be nothing, and then it counts for nothing, as every piece of 0 steps.
    joined = warmup(4).skip(9) >> linear(4)
    assert warmup(4).skip(9).length == 0
    assert values(joined, 0, 2, 4) == values(linear(4), 0, 2, 4)
    with pytest.raises(ScheduleError, match="it has no steps"):
        warmup(4).skip(4)(0)


def test_cut():
    assert values(linear(10).cut(4), 3, 4, 5, 99) == pytest.approx([0.7, 0.6, 0.6, 0.6])
    assert values(linear(10).cut(20), 10, 25) == [0.0, 0.0]


def test_repeat():
    schedule = linear(4).repeat(2, decay=0.5)
    assert values(schedule, *range(10)) == [1, 0.75, 0.5, 0.25, 0.5, 0.375, 0.25, 0.125, 0, 0]
    up = warmup(4).repeat(2, decay=0.5)
    assert values(up, 3, 4, 6, 8, 9) == [0.75, 0.0, 0.25, 0.5, 0.5]
    assert values(linear(4).repeat(), 4_000, 4_001) == [1.0, 0.75]


def test_scale_steps():
    schedule = linear(10).scale_steps(2)
    assert values(schedule, 0, 10, 15, 20) == [1.0, 0.5, 0.25, 0.0]
    assert values(linear(10).scale_steps(0.5), 0, 1, 5) == [1.0, 0.8, 0.0]
    assert values(exponential(0.25).scale_steps(2), 0, 1, 2) == [1.0, 0.5, 0.25]
    stairs = piecewise_constant([1, 2], [1.0, 0.5, 0.1]).scale_steps(10)
    assert values(stairs, 9, 10, 19, 20) == [1.0, 0.5, 0.5, 0.1]


@pytest.mark.parametrize("factor", [1 / 3, 0.1, 0.5, 2 / 3, 2, 2.5, 7])
@pytest.mark.parametrize("step", [0.25, 1.5, 2.125])
def test_scaled_steps_have_values_in_between(factor, step):
    schedule = linear(50).scale_steps(factor)
    wanted = max(1 - step / factor / 50, 0)
    assert schedule(step) == pytest.approx(wanted, rel=1e-12)
    assert schedule(np.array([step]))[0] == pytest.approx(wanted, rel=1e-12)
    assert schedule.by("epochs")(epochs=step) == pytest.approx(wanted, rel=1e-12)


def test_scaling_and_scaling_back_is_exact():
    schedule = cyclic(10, low=0.125).scale_steps(3).scale_steps(1 / 3)
    assert values(schedule, *range(100)) == values(cyclic(10, low=0.125), *range(100))


@pytest.mark.parametrize(
    ("expression", "length"),
    [
        ("constant()", None),
        ("constant(steps=7)", 7),
        ("warmup(5) >> cosine(95)", 100),
        ("warmup(5) >> constant()", None),
        ("linear(10) * cosine(30)", 30),
        ("linear(10) * inverse_sqrt(3)", None),
        ("linear(10) * 0.5", 10),
        ("linear(10).clamp(0.1, 0.5)", 10),
        ("linear(10).delay(5)", 15),
        ("constant().delay(5)", None),
        ("constant().cut(5)", 5),
        ("linear(10).skip(4)", 6),
        ("constant().skip(4)", None),
        ("cosine_restarts(10, cycles=3)", 30),
        ("cosine_restarts(10, 2, warmup=2, cycles=3)", 10 + 18 + 34),
        ("cosine_restarts(10, 1.5, cycles=4)", 82),  # 10 + 15 + 22.5 + 33.75
        ("linear(10).repeat(3)", 30),
        ("linear(10).repeat()", None),
        ("linear(10).scale_steps(2.5)", 25),
        ("linear(100).scale_steps(0.1)", 10),
        ("linear(10).scale_steps(1 / 3)", 4),
        ("linear(10).scale_steps(0.001)", 1),
        ("constant().scale_steps(2)", None),
        ("from_function(inverse_time, length=9)", 9),
        ("piecewise_constant([3, 8], [1, 2, 3])", 8),
    ],
)
def test_length(expression, length):
    schedule = evaluate(expression)
    assert schedule.length == length
    if length is None:
        with pytest.raises(TypeError, match="endless"):
            len(schedule)
    else:
        assert len(schedule) == length


def test_every_schedule_is_true():
    assert all(SCHEDULES.values())


@pytest.mark.parametrize("expression", SCHEDULES)
def test_text_is_the_expression_that_makes_it(expression):
    schedule = SCHEDULES[expression]
    assert evaluate(repr(schedule)) == schedule


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ("cosine(9_500)", "cosine(9500)"),
        ("cosine(1e4, 1.0, 0.1)", "cosine(10000, end=0.1)"),
        ("constant()", "constant(1.0)"),
        ("one_cycle(100)", "one_cycle(100)"),
        ("cyclic(10, 0.1)", "cyclic(10, low=0.1)"),
        ("(warmup(3) >> cosine(5)) * 2", "(warmup(3) >> cosine(5)) * 2.0"),
        ("warmup(3) * 2 >> cosine(5)", "warmup(3) * 2.0 >> cosine(5)"),
        ("(warmup(3) >> cosine(5)).repeat(2)", "(warmup(3) >> cosine(5)).repeat(2)"),
        ("(warmup(3) * 2).clamp(high=1)", "(warmup(3) * 2.0).clamp(high=1.0)"),
        ("warmup(3).delay(2).repeat(decay=0.5)", "warmup(3).delay(2).repeat(decay=0.5)"),
        ("from_function(inverse_time, name='f')", "from_function(inverse_time, name='f')"),
    ],
)
def test_text(expression, text):
    assert repr(evaluate(expression)) == text


@pytest.mark.parametrize("expression", SCHEDULES)
def test_equal_by_value_and_hashable(expression):
    one, other = SCHEDULES[expression], evaluate(expression)
    assert one == other
    assert hash(one) == hash(other)
    assert one != one * 0.5
    assert copy.deepcopy(one) == one
    assert pickle.loads(pickle.dumps(one)) == one


def test_all_examples_differ():
    assert len(set(SCHEDULES.values())) == len(SCHEDULES)


def test_integers_and_floats_are_one_value():
    assert linear(10, 1, 0) == linear(10.0, 1.0, 0.0) == linear(np.int64(10), np.float32(1.0))
    assert piecewise_constant([1], [1, 2]) == piecewise_constant(np.array([1]), (1.0, 2.0))


def test_frozen():
    schedule = cosine(10)
    with pytest.raises(FrozenInstanceError):
        schedule.end = 0.5
    assert schedule == cosine(10)


ENDLESS = [
    constant(),
    exponential(0.9),
    inverse_sqrt(5),
    cyclic(5, low=0.1),
    cosine_restarts(5),
    linear(5).repeat(),
    warmup(5) >> constant(),
    linear(5) * constant(),
    from_function(abs),
]


@pytest.mark.parametrize("schedule", ENDLESS, ids=repr)
def test_nothing_follows_an_endless_schedule(schedule):
    with pytest.raises(ScheduleError, match="endless") as caught:
        schedule >> cosine(10)
    assert "cut" in str(caught.value)
    with pytest.raises(ScheduleError, match="endless"):
        schedule.repeat(2)
    assert (schedule.cut(7) >> cosine(10)).length == 17


@pytest.mark.parametrize(
    "combine",
    [
        lambda a: a >> 0.1,
        lambda a: 0.1 >> a,
        lambda a: a.then(None),
        lambda a: a * "2",
        lambda a: a * -1,
        lambda a: float("nan") * a,
        lambda a: a * True,
        lambda a: a * 1e200 * 1e200,
        lambda a: a * np.ones(3),
        lambda a: a.clamp(0.5, 0.1),
        lambda a: a.clamp(low=-1),
        lambda a: a.clamp(high=float("nan")),
        lambda a: a.delay(-1),
        lambda a: a.delay(1.5),
        lambda a: a.cut(-1),
        lambda a: a.repeat(0),
        lambda a: a.repeat(2, decay=0),
        lambda a: a.repeat(2, decay=float("inf")),
        lambda a: a.scale_steps(0),
        lambda a: a.scale_steps(-2),
        lambda a: a.scale_steps(1e-300),
    ],
)
def test_what_does_not_combine(combine):
    with pytest.raises(ScheduleError):
        combine(linear(10))


def test_following_with_a_plain_function_says_how():
    with pytest.raises(ScheduleError, match=r"from_function\(f\)"):
        linear(10) >> abs


def test_a_product_with_an_array_is_refused_from_both_sides():
    for combine in (lambda: np.ones(3) * linear(10), lambda: linear(10) * np.ones(3)):
        with pytest.raises(ScheduleError, match="must be a finite number"):
            combine()


def test_a_function_with_a_length_stays_at_its_end():
    seen = []

    def f(step):
        seen.append(step)
        return step / 10

    schedule = from_function(f, length=10)
    assert values(schedule, 5, 10, 11, 99) == [0.5, 1.0, 1.0, 1.0]
    assert seen == [5, 10, 10, 10]


def test_a_function_gets_the_step_of_its_own_clock():
    schedule = linear(10) >> from_function(lambda step: step + 0.5)
    assert values(schedule, 10, 13) == [0.5, 3.5]


def test_a_class_of_ones_own_is_a_schedule_like_any_other():
    schedule = Sawtooth(4) * 2.0
    assert values(schedule, 0, 1, 4, 6) == [2.0, 1.5, 2.0, 1.0]
    assert repr(Sawtooth(4, power=2.0)) == "Sawtooth(4, power=2.0)"
    assert Sawtooth(4) == Sawtooth(4)
    assert schedule(np.arange(8)).tolist() == [2.0, 1.5, 1.0, 0.5] * 2


def test_one_cycle_and_momentum_mirror_each_other():
    rate, momentum = one_cycle(100), one_cycle(100, start=0.95, peak=0.85, end=0.95)
    steps = np.arange(101)
    assert np.argmax(rate(steps)) == np.argmin(momentum(steps)) == 30
