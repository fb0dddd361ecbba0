"""Nested schedules answer at once, and what is too deep, too large or too long is an error."""

import copy
import json
import pickle
from dataclasses import dataclass

import jax
import numpy as np
import pytest
import tensorflow as tf
import torch

from layerwise.errors import ConfigError, LayerwiseError, ScheduleError
from layerwise.schedules import (
    Schedule,
    constant,
    cosine,
    cosine_restarts,
    cyclic,
    exponential,
    from_function,
    is_closed_form,
    linear,
    piecewise_constant,
    values_over,
    warmup,
)

LEVELS = 24  # at two values of what is inside for each level, no computer gets to the end

NESTED = {
    "delay": lambda s: s.delay(1),
    "repeat": lambda s: s.repeat(2, decay=0.9) if s.length < 2**40 else s.repeat(1),
    "repeat, for ever": lambda s: s.repeat().cut(100),
    "cut": lambda s: s.cut(1000),
    "clamp": lambda s: s.clamp(0.1, 0.9),
    "scale_steps": lambda s: s.scale_steps(1.0),
    "scale_steps, no fraction": lambda s: s.scale_steps(1.01234567),
    "then": lambda s: (warmup(2) >> s).delay(1),
    "product": lambda s: (s * warmup(3)).delay(1),
    "all of them": lambda s: (warmup(2) >> s.repeat(2) * 0.5).cut(90),
}


def nested(wrap, levels=LEVELS, start=None):
    schedule = linear(5) if start is None else start
    for _ in range(levels):
        schedule = wrap(schedule)
    return schedule


@dataclass(frozen=True, repr=False)
class Counted(Schedule):
    """Counts how often it is evaluated and asked for its length."""

    seen: tuple[list[int], ...] = ([], [])

    @property
    def length(self):
        self.seen[0].append(1)
        return 5

    def evaluate(self, clock):
        self.seen[1].append(1)
        return clock.left(5)


@pytest.mark.parametrize("wrap", NESTED.values(), ids=list(NESTED))
def test_every_level_asks_the_one_inside_once(wrap):
    inner = Counted(([], []))
    schedule = nested(wrap, 20, inner)
    asked = len(inner.seen[0])
    assert asked <= 2  # once here, once above
    assert schedule.length is not None
    assert schedule(3) == schedule(np.asarray([3, 4]))[0]
    assert len(inner.seen[0]) == asked
    assert len(inner.seen[1]) == 2


@pytest.mark.parametrize("wrap", NESTED.values(), ids=list(NESTED))
def test_nested_schedules_do_everything(wrap):
    schedule = nested(wrap)
    at = np.arange(8)
    wanted = [schedule(int(step)) for step in at]
    for values in (
        schedule(at),
        values_over(schedule, at),
        jax.jit(schedule)(at),
        schedule(torch.as_tensor(at)),
        tf.function(schedule, autograph=False)(tf.constant(at)),
    ):
        np.testing.assert_allclose(np.asarray(values), wanted, rtol=2e-5, atol=1e-6)
    assert is_closed_form(schedule)
    again = Schedule.from_config(json.loads(json.dumps(schedule.to_config())))
    assert again == schedule == copy.deepcopy(schedule) == pickle.loads(pickle.dumps(schedule))
    assert hash(again) == hash(schedule)
    assert repr(again) == repr(schedule)
    assert again.length == schedule.length


def test_a_repetition_is_what_it_was():
    # The oracle: each time by itself.
    schedule = (warmup(3) >> cosine(4, end=0.2)).repeat(3, decay=0.5)
    once = warmup(3) >> cosine(4, end=0.2)
    wanted = [0.5 ** (step // 7) * once(step % 7) for step in range(21)] + [0.25 * once(7)] * 5
    assert [schedule(step) for step in range(26)] == wanted
    assert schedule(np.arange(26)).tolist() == wanted


def test_between_two_steps_a_repetition_ends_where_it_ended():
    schedule = cosine(6).repeat(2).scale_steps(0.7)
    assert schedule(8.4) == schedule(9) == cosine(6)(6)


@pytest.mark.parametrize("wrap", NESTED.values(), ids=list(NESTED))
def test_too_deep_is_an_error(wrap):
    with pytest.raises(ScheduleError, match="at most 100 levels deep"):
        nested(wrap, 200)


def test_a_class_of_ones_own_is_measured_too():
    @dataclass(frozen=True, repr=False)
    class Half(Schedule):
        inner: Schedule

        def evaluate(self, clock):
            return self.inner.evaluate(clock) * 0.5

    with pytest.raises(ScheduleError, match="Half: schedules must be nested at most 100"):
        nested(Half, 200)
    assert Half(Half(linear(4)))(2) == 0.125


@pytest.mark.parametrize("double", [lambda s: s >> s, lambda s: s * s, lambda s: s.cut(9) >> s])
def test_too_many_is_an_error_before_they_are_made(double):
    with pytest.raises(ScheduleError, match="at most 1,000 others"):
        nested(double, 60)


def test_a_length_beyond_every_training_is_an_error():
    for make in (
        lambda: linear(2**53).repeat(10**9),
        lambda: linear(2**53).delay(1),
        lambda: linear(2**53) >> linear(1),
        lambda: linear(2**53).scale_steps(2.0),
        lambda: linear(2**53).scale_steps(1e308),
        lambda: linear(10).repeat(10**30),
        lambda: linear(10).repeat(10**400),
        lambda: linear(10).repeat(10**5000),
    ):
        with pytest.raises(ScheduleError):
            make()
    assert linear(10).repeat(10**9).length == 10**10
    assert linear(10).repeat(10**9)(10**10 - 5) == 0.5
    assert constant(steps=2**53 - 1).delay(1).length == 2**53


def error_or_value(schedule, step):
    """The value, or the length of the error's message, with a minus if it is a long one."""
    try:
        return schedule(step)
    except ScheduleError as error:
        return 2_000 - len(str(error))


HUGE = [10**18, 2**63, 2**64, 10**30, -(10**30), 10**400, -(10**400), 10**5000, 1e308, -1e308]
HUGE += [float("inf"), float("-inf"), np.float64("inf"), np.float32(3e38), np.uint64(2**64 - 1)]


@pytest.mark.parametrize("step", HUGE, ids=lambda step: f"{type(step).__name__} {str(step)[:9]}"
                         if not isinstance(step, int) else f"{step.bit_length()} bits")  # fmt: skip
@pytest.mark.parametrize(
    "schedule",
    [
        linear(10),
        cosine(10).repeat(),
        exponential(1.5),
        cyclic(10, low=0.1),
        cosine_restarts(10, period_growth=1.3),
        piecewise_constant([3, 4], [1.0, 0.5, 0.1]),
        nested(lambda s: s.scale_steps(1e-6), 80, exponential(0.9)),
        nested(lambda s: s.scale_steps(0.73105851), 80, cosine_restarts(10, period_growth=2)),
    ],
    ids=lambda schedule: repr(schedule)[:30],
)
def test_a_step_beyond_all_bounds_has_a_value_or_an_error_of_ours(schedule, step):
    assert error_or_value(schedule, step) >= 0.0


def test_nan_is_no_step():
    with pytest.raises(ScheduleError, match=r"number of updates applied so far.*got nan"):
        linear(10)(float("nan"))


def test_infinity_times_nothing_warns_nobody():
    schedule = constant(0.0, steps=1).repeat(20, decay=1e30)
    assert np.isnan(schedule(np.arange(20))[-1])
    assert np.isnan(schedule(19))


def test_an_overflow_in_a_function_says_where():
    with pytest.raises(ScheduleError, match=r"can't be computed at step 5000: .*range") as caught:
        from_function(lambda step: 2.0**step)(5_000)
    assert isinstance(caught.value.__cause__, OverflowError)


# -- configs ------------------------------------------------------------------------------------


def config_of(schedule):
    return {"version": 1, "schedule": schedule}


def bottomless(levels, name="delay", **arguments):
    inner = warmup(5).to_config()["schedule"]
    for _ in range(levels):
        inner = {"name": name, "arguments": {"schedule": inner, **arguments}}
    return config_of(inner)


def in_lists(levels):
    inner = warmup(5).to_config()["schedule"]
    for _ in range(levels):
        inner = {"name": "then", "arguments": {"parts": [inner, inner]}}
    return config_of(inner)


def lists(levels):
    inner = 1.0
    for _ in range(levels):
        inner = [inner]
    return config_of({"name": "constant", "arguments": {"value": inner}})


def endless():
    inner = {"name": "delay", "arguments": {"steps": 1}}
    inner["arguments"]["schedule"] = inner
    return config_of(inner)


def wide(count):
    part = linear(1).to_config()["schedule"]
    return config_of({"name": "then", "arguments": {"parts": [part] * count}})


@pytest.mark.parametrize(
    "config",
    [
        *(bottomless(levels, steps=1) for levels in (101, 150, 400, 3_000, 100_000)),
        bottomless(3_000, "repeat", times=2),
        bottomless(3_000, "scale_steps", factor=2),
        *(in_lists(levels) for levels in (20, 60, 110, 3_000)),
        *(lists(levels) for levels in (2, 100, 300, 3_000, 100_000)),
        endless(),
        wide(1_001),
        wide(100_000),
        bottomless(1, steps=10**5000),
        config_of({"name": "x" * 10**6, "arguments": {}}),
        config_of({"name": "linear", "arguments": {"x" * 10**6: 1}}),
        config_of({"name": "from_function", "arguments": {"function": "f", "name": "g"}}),
        config_of({"name": "from_function", "arguments": {"function": ["f"]}}),
        config_of(["x"] * 10**6),
        {"version": "x" * 10**6, "schedule": {}},
        "x" * 10**6,
    ],
    ids=range(27),
)
def test_a_config_without_end_is_our_error(config):
    with pytest.raises(LayerwiseError) as caught:
        Schedule.from_config(config, functions={"f": abs})
    assert len(str(caught.value)) < 3_000
    assert isinstance(caught.value, ConfigError | ScheduleError)


def test_a_hundred_levels_of_a_config_can_be_read():
    assert Schedule.from_config(bottomless(99, steps=1)).length == 104
    with pytest.raises(LayerwiseError, match="100 levels"):
        Schedule.from_config(bottomless(100, steps=1))
