"""Every schedule equals Optax' own, at every step over several periods, in float64.

Under `jax.enable_x64` Optax computes in float64 too. What is left are the last digits of a few
operations, and of subtractions of numbers near 1 where a schedule falls to 0, hence the floor.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from layerwise.schedules import (
    constant,
    cosine,
    cosine_restarts,
    cyclic,
    exponential,
    from_function,
    linear,
    one_cycle,
    piecewise_constant,
    polynomial,
    warmup,
)

BASE = 0.3
RELATIVE, FLOOR = 1e-12, 1e-15


def assert_equal(schedule, make, steps=250):
    # Not under jit: XLA turns Optax' `1 - 90 / 90` into less than 0 there, and its root into NaN.
    with jax.enable_x64(True):
        theirs = make()
        expected = np.asarray(jax.vmap(theirs)(jnp.arange(steps)))
    np.testing.assert_allclose(schedule(np.arange(steps)), expected, rtol=RELATIVE, atol=FLOOR)


def test_constant():
    assert_equal(constant(0.2), lambda: optax.constant_schedule(0.2))


def test_linear():
    assert_equal(linear(90, 0.2, 0.7), lambda: optax.linear_schedule(0.2, 0.7, 90))


def test_linear_that_begins_later():
    theirs = lambda: optax.linear_schedule(0.2, 0.7, 90, transition_begin=40)  # noqa: E731
    assert_equal(linear(90, 0.2, 0.7).delay(40), theirs)


@pytest.mark.parametrize("power", [0.5, 1, 2, 3])
def test_polynomial(power):
    assert_equal(
        polynomial(90, power, start=0.7, end=0.1),
        lambda: optax.polynomial_schedule(0.7, 0.1, power, 90),
    )


@pytest.mark.parametrize("alpha", [0.0, 0.1])
def test_cosine(alpha):
    assert_equal(
        cosine(90, end=alpha) * BASE, lambda: optax.cosine_decay_schedule(BASE, 90, alpha=alpha)
    )


def test_warmup_cosine():
    assert_equal(
        linear(20, 0.01, BASE) >> cosine(100, BASE, 0.003),
        lambda: optax.warmup_cosine_decay_schedule(0.01, BASE, 20, 120, end_value=0.003),
    )


def test_warmup_constant():
    assert_equal(
        warmup(20, start=0.1) * BASE,
        lambda: optax.warmup_constant_schedule(0.1 * BASE, BASE, 20),
    )


@pytest.mark.parametrize("staircase", [False, True])
def test_exponential(staircase):
    assert_equal(
        exponential(0.7, every=20, staircase=staircase) * BASE,
        lambda: optax.exponential_decay(BASE, 20, 0.7, staircase=staircase),
    )


def test_exponential_down_to_an_end():
    assert_equal(
        (exponential(0.7, every=20) * BASE).clamp(low=0.02).delay(10),
        lambda: optax.exponential_decay(BASE, 20, 0.7, transition_begin=10, end_value=0.02),
    )


def test_warmup_exponential():
    assert_equal(
        linear(15, 0.01, BASE) >> (exponential(0.7, every=20) * BASE),
        lambda: optax.warmup_exponential_decay_schedule(0.01, BASE, 15, 20, 0.7),
    )


def test_piecewise_constant():
    assert_equal(
        piecewise_constant([20, 60], [0.3, 0.15, 0.015]),
        lambda: optax.piecewise_constant_schedule(0.3, {20: 0.5, 60: 0.1}),
    )


def test_sgdr():
    cycles = [
        {"init_value": 0.0, "peak_value": 0.3, "warmup_steps": 5, "decay_steps": 30},
        {"init_value": 0.1, "peak_value": 0.2, "warmup_steps": 10, "decay_steps": 60},
        {
            "init_value": 0.0,
            "peak_value": 0.1,
            "warmup_steps": 5,
            "decay_steps": 90,
            "end_value": 0.01,
        },
    ]
    ours = (
        (linear(5, 0.0, 0.3) >> cosine(25, 0.3))
        >> (linear(10, 0.1, 0.2) >> cosine(50, 0.2))
        >> (linear(5, 0.0, 0.1) >> cosine(85, 0.1, 0.01))
    )
    assert_equal(ours, lambda: optax.sgdr_schedule(cycles))


def test_restarts_are_cosines_joined():
    periods = [10, 20, 40, 80]
    assert_equal(
        cosine_restarts(10, period_growth=2, end=0.1) * BASE,
        lambda: optax.join_schedules(
            [optax.cosine_decay_schedule(BASE, period, alpha=0.1) for period in periods],
            [10, 30, 70],
        ),
        steps=150,
    )


def test_cosine_onecycle():
    assert_equal(
        one_cycle(100, peak_at=0.3, start=1 / 25, end=1e-4 / 25) * BASE,
        lambda: optax.cosine_onecycle_schedule(100, BASE, 0.3, 25.0, 1e4),
    )


def test_linear_onecycle():
    # Optax goes back to the first value at pct_final, and divides the first value for the last.
    assert_equal(
        one_cycle(100, 0.3, 1 / 25, 1e-4 / 25, anneal="linear", phases=3, return_at=0.85) * BASE,
        lambda: optax.linear_onecycle_schedule(100, BASE, 0.3, 0.85, 25.0, 1e4),
    )


def test_triangles_are_linears_joined():
    pieces = [optax.linear_schedule(0.1, 1.0, 10), optax.linear_schedule(1.0, 0.1, 10)] * 6
    assert_equal(
        cyclic(10, low=0.1),
        lambda: optax.join_schedules(pieces, list(range(10, 120, 10))),
        steps=115,
    )


def test_an_optax_schedule_is_a_function_of_the_step():
    ours = from_function(optax.cosine_decay_schedule(1.0, 90), length=90)
    steps = jnp.arange(120)
    # Both in float32 here: the tolerance is a few roundings of it.
    np.testing.assert_allclose(jax.jit(ours)(steps), cosine(90)(steps), rtol=1e-5, atol=1e-7)
    assert (ours >> constant(0.1)).length is None
