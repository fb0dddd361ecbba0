"""Many schedules at one step, against each one called, and what is known of their lowest value."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from layerwise import (
    constant,
    cosine,
    cosine_restarts,
    cyclic,
    exponential,
    from_function,
    inverse_sqrt,
    linear,
    on_plateau,
    one_cycle,
    piecewise_constant,
    plateau,
    warmup,
)
from layerwise.errors import ScheduleError
from layerwise.multipliers import may_be_0
from layerwise.schedules import Schedule, lower_bound, values_together
from tests._support.strategies import any_schedule

KINDS = {
    "linear": [linear(40 + i, start=0.9 - 0.1 * i) for i in range(5)],
    "then": [warmup(3 + i) >> cosine(30 + i, end=0.1 * i) for i in range(5)],
    "tables": [piecewise_constant([3 + i, 9], [1.0, 0.5 / (1 + i), 0.2]) for i in range(5)],
    "many boundaries": [piecewise_constant(range(1, 20 + i), [0.5] * (20 + i)) for i in (0, 0, 1)],
    "cycles": [cyclic(5 + i, 0.1, decay=0.5 + 0.1 * i) for i in range(4)],
    "powers": [exponential(0.9 + 0.01 * i, every=3) for i in range(5)],
    "restarts": [cosine_restarts(7 + i, period_growth=2) for i in range(4)],
    "moved": [linear(20 + i).repeat(3, decay=0.5).delay(i).scale_steps(1 / 3) for i in range(4)],
    "phases": [one_cycle(50 + i) for i in range(4)],
    "beyond 32 bits": [linear(3_000_000_000 + i) for i in range(3)],
    "late": [inverse_sqrt(50).skip(2_000_000_000 + i) for i in range(3)],
    "numbers": [constant(0.1 * i) for i in range(4)],
    "a function": [from_function(lambda s: s / 2), from_function(lambda s: s / 4), linear(5)],
    "tokens": [linear(50 + i).by("tokens") * cosine(30 + i) for i in range(4)],
}
EXACT = {s for kind in ("linear", "tables", "many boundaries", "numbers") for s in KINDS[kind]}
EVERYTHING = [schedule for kind in KINDS.values() for schedule in kind]


@pytest.mark.parametrize("step", [0, 1, 7, 29, 59, 200, 2**31 - 1])
def test_jax_gives_what_calls_give(step):
    at = jnp.asarray(step)
    together = values_together(EVERYTHING, at, tokens=jnp.asarray(11))
    for schedule, value in zip(EVERYTHING, together, strict=True):
        alone = schedule(at, tokens=jnp.asarray(11)) if schedule.counters else schedule(at)
        assert (value.shape, value.dtype) == (alone.shape, alone.dtype)
        # An array's exponential and sine are other routines of XLA's than a number's.
        exact = schedule in EXACT
        assert float(value) == (alone if exact else pytest.approx(float(alone), rel=3e-7, abs=1e-7))


def test_a_compiled_step_gives_what_calls_give():
    def both(step):
        tokens = step + 2
        alone = [s(step, tokens=tokens) if s.counters else s(step) for s in EVERYTHING]
        return values_together(EVERYTHING, step, tokens=tokens), alone

    compiled = jax.jit(both)
    for step in (-3, 0, 5, 45, 10**6):
        together, alone = compiled(step)
        # A sine of several numbers at once is another routine of XLA's.
        np.testing.assert_allclose(together, alone, rtol=3e-7, atol=1e-7)


@pytest.mark.parametrize("step", [0, 7, 59])
def test_pytorch_gives_what_calls_give(step):
    torch = pytest.importorskip("torch")
    at, tokens = torch.tensor(step), torch.tensor(11)
    for schedule, value in zip(
        EVERYTHING, values_together(EVERYTHING, at, tokens=tokens), strict=True
    ):
        alone = schedule(at, tokens=tokens) if schedule.counters else schedule(at)
        assert (value.shape, value.dtype) == (alone.shape, alone.dtype)
        assert float(value) == pytest.approx(float(alone), rel=3e-7, abs=1e-7)


# JAX's array is made in the test: to make one starts threads, and other tests fork.
@pytest.mark.parametrize(
    "make",
    [lambda: 3, lambda: 3.5, lambda: np.int64(3), lambda: np.arange(4), lambda: jnp.arange(4.0)],
)
def test_other_steps_are_called(make):
    step, schedules = make(), KINDS["then"]
    for schedule, value in zip(schedules, values_together(schedules, step), strict=True):
        assert type(value) is type(schedule(step))
        np.testing.assert_array_equal(value, schedule(step))


def test_many_of_a_kind_are_as_few_operations_as_two():
    def operations(size):
        schedules = [warmup(3 + i) >> cosine(30 + i, end=0.01 * i) for i in range(size)]
        traced = jax.make_jaxpr(lambda step: values_together(schedules, step))(5)
        return sum(1 for line in str(traced).splitlines() if "=" in line) - 2 * size

    assert operations(40) - operations(2) <= 40  # one look-up more for each


def test_a_missing_count_is_told():
    with pytest.raises(ScheduleError, match="counts tokens"):
        values_together(KINDS["tokens"], jnp.asarray(1))


class Halved(linear):
    """A class of the user's, with a formula of its own."""

    def evaluate(self, clock):
        return super().evaluate(clock) * (0.5 if bool(clock.reached(1)) else 0.0)


def test_classes_of_others_are_called():
    mine = [Halved(5), Halved(6)]
    values = [float(value) for value in values_together(mine, jnp.asarray(1))]
    assert values == pytest.approx([0.4, 5 / 12])
    assert lower_bound(Halved(5, end=0.5)) == 0.0


@settings(max_examples=150)
@given(any_schedule(), st.lists(st.integers(0, 300), min_size=1, max_size=20))
def test_nothing_is_below_the_lower_bound(schedule: Schedule, steps):
    if not schedule._without_steps:
        counts = dict.fromkeys(schedule.counters, np.asarray(steps))
        values = schedule(np.asarray(steps), **counts)
        assert np.min(values) >= lower_bound(schedule) * (1 - 1e-9)


def test_what_is_always_above_0_never_freezes():
    assert not any(map(may_be_0, (0.5, linear(10**12, end=0.1), KINDS["tables"][0])))
    assert not may_be_0(warmup(5, start=0.5) >> cosine(10**12, end=0.1))
    assert all(map(may_be_0, (0, 0.0, linear(9), inverse_sqrt(9), lambda step: 1.0)))
    assert not may_be_0(linear(10, start=0.0, end=1.0).skip(1))  # by its values


def test_what_only_a_class_or_a_metric_knows_may_be_0():
    # The last one stands at 1 until its metric fires.
    by_metric = on_plateau(plateau("loss", patience=1), [1.0, 0.0]).cut(5)
    assert all(map(may_be_0, (Halved(5, end=0.5), Halved(5, end=0.5).cut(3), by_metric)))


@pytest.mark.parametrize(
    "schedule",
    [
        cyclic(5, 1.0, 1.0, mode="exp_range", gamma=1.1),
        cyclic(5, 0.1, 0.5, decay=1.5),
        cosine_restarts(4, peak_decay=2.0, end=0.5),
        cosine_restarts(4, peak_decay=2.0, end=1.2, cycles=3),
        cosine_restarts(4, peak_decay=2.0, end=2.0, decay_of="peak"),
        linear(9, end=0.5).clamp(low=0.6).repeat(3) * 0.5,
        constant(3.0).clamp(high=0.5) * inverse_sqrt(3).clamp(low=0.2),
    ],
)
def test_nothing_is_below_the_lower_bound_in_32_bits_either(schedule):
    values = np.asarray(schedule(jnp.arange(400)))
    assert np.min(values[np.isfinite(values)]) >= lower_bound(schedule) * (1 - 1e-6)
