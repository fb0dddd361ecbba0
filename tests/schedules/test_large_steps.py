"""At step 1,000,000,000 float32 can't tell 64 neighbouring steps apart; our schedules still can.

Python's integers, which are exact, are the oracle.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tensorflow as tf
import torch

from layerwise.schedules import constant, cosine, cosine_restarts, cyclic, linear, warmup
from tests._support.schedules import SCHEDULES

STEPS = range(1_000_000_000, 1_000_000_150)

LARGE = {
    **SCHEDULES,
    "cyclic, delayed": cyclic(10, low=0.1).delay(123_456_789),
    "cyclic, after something long": warmup(999_999_937) >> cyclic(10, low=0.1),
    "cosine, that begins here": cosine(100).delay(1_000_000_007),
    "linear, that ends here": linear(100).delay(999_999_950),
    "restarts, repeated": cosine_restarts(7, period_growth=2).cut(49).repeat(),
    "repeated with a changing decay": linear(999).repeat(decay=0.9999999),
    "restarts, deep in the growth": cosine_restarts(1, period_growth=2),
    "cyclic, three times as long": cyclic(10, low=0.1).scale_steps(3),
    "cyclic, a third as long": cyclic(100, low=0.1).scale_steps(2 / 3),
    "cyclic, twice scaled": cyclic(10, low=0.1).scale_steps(0.7).scale_steps(1.5),
    "cyclic, begun late": cyclic(10, low=0.1).skip(7),
    "begun beyond 32 bits": linear(10_000_000_000).skip(3_000_000_000),
    "restarts with warm-ups": cosine_restarts(10, end=0.1, warmup=3),
    "restarts with warm-ups, growing": cosine_restarts(7, 2, end=0.1, warmup=3),
    "a length beyond 32 bits": linear(10_000_000_000),
    "a boundary beyond 32 bits": constant(steps=10_000_000_000) >> cyclic(10, low=0.1),
    "a cycle beyond 32 bits": linear(3_000_000_000).repeat(),
}

# The same as in test_namespaces: a few roundings of float32, and of the peak where it fell far.
RELATIVE, FLOOR = 1e-6, 1.5e-7

every_large = pytest.mark.parametrize("schedule", LARGE.values(), ids=list(LARGE))


def assert_exact(values, schedule):
    truth = [schedule(step) for step in STEPS]
    peak = max(schedule(step) for step in range(100))
    np.testing.assert_allclose(np.asarray(values), truth, rtol=RELATIVE, atol=FLOOR * peak)


@every_large
def test_jax_with_32_bits(schedule):
    steps = jnp.asarray(np.asarray(STEPS), dtype=jnp.int32)
    assert_exact(jax.jit(schedule)(steps), schedule)


def test_jax_with_unsigned_32_bits():
    schedule = linear(100).delay(999_999_950)
    steps = jnp.asarray(np.asarray(STEPS), dtype=jnp.uint32)
    assert_exact(jax.jit(schedule)(steps), schedule)
    assert float(schedule(jnp.uint32(2**32 - 1))) == 0.0
    assert float(schedule(jnp.uint32(3))) == 1.0


@every_large
def test_tensorflow(schedule):
    compiled = tf.function(schedule, input_signature=[tf.TensorSpec([None], tf.int32)])
    assert_exact(compiled(tf.constant(list(STEPS), tf.int32)), schedule)


@every_large
def test_torch(schedule):
    assert_exact(schedule(torch.tensor(list(STEPS), dtype=torch.int32)), schedule)


@every_large
def test_numpy(schedule):
    truth = [schedule(step) for step in STEPS]
    np.testing.assert_allclose(schedule(np.asarray(STEPS)), truth, rtol=1e-12, atol=1e-15)


def test_the_last_32_bit_step_does_not_overflow():
    step = 2**31 - 1
    for schedule in LARGE.values():
        value = np.float64(jax.jit(schedule)(jnp.int32(step)))
        assert np.isfinite(value) or not np.isfinite(schedule(step))
        assert value >= 0.0
    assert float(linear(3_000_000_000)(jnp.int32(step))) == pytest.approx(
        linear(3_000_000_000)(step), rel=1e-6
    )


def test_a_faster_clock_stops_where_32_bits_end():
    # 10**10 is no 32-bit integer: the inner clock waits at the largest one, and never turns back.
    fast = linear(5_000_000_000).scale_steps(0.1)
    assert float(fast(jnp.int32(100_000_000))) == pytest.approx(0.8, rel=1e-6)
    assert float(fast(jnp.int32(2_000_000_000))) == pytest.approx(1 - 2**31 / 5e9, rel=1e-6)
    assert fast(2_000_000_000) == 0.0


def test_a_phase_at_a_billion_is_the_phase_at_the_start():
    schedule = cyclic(50, low=0.1)
    late = schedule(jnp.arange(100, dtype=jnp.int32) + 1_000_000_000)
    np.testing.assert_array_equal(late, schedule(jnp.arange(100, dtype=jnp.int32)))
