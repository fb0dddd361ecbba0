"""Every schedule equals Keras' own, at every step over several periods.

Keras computes in float32, one rounding of 6e-8 an operation and around ten of them, so that 2e-6
is what can be asked; near 0 it subtracts numbers near 1, hence a floor of two such roundings.
"""

import jax
import keras
import numpy as np
import pytest
import tensorflow as tf
from keras.optimizers import schedules as peer

from layerwise.schedules import (
    cosine,
    cosine_restarts,
    exponential,
    from_function,
    linear,
    piecewise_constant,
    polynomial,
)

# Keras' schedules compute in the backend that runs; compiled, since that is what takes the time.
COMPILE = {"jax": jax.jit, "tensorflow": tf.function, "torch": lambda schedule: schedule}

BASE = 0.3
RELATIVE, FLOOR = 2e-6, 1.2e-7 * BASE


def assert_equal(schedule, keras_schedule, steps=250, *, but=(), floor=FLOOR, compiled=None):
    compiled = compiled or COMPILE[keras.backend.backend()](keras_schedule)
    asked = np.setdiff1d(np.arange(steps), but)
    expected = [float(compiled(step)) for step in map(keras.ops.convert_to_tensor, asked)]
    np.testing.assert_allclose(schedule(asked), expected, rtol=RELATIVE, atol=floor)


@pytest.mark.parametrize("alpha", [0.0, 0.1])
def test_cosine_decay(alpha):
    assert_equal(cosine(90, end=alpha) * BASE, peer.CosineDecay(BASE, 90, alpha=alpha))


def test_cosine_decay_with_warmup():
    theirs = peer.CosineDecay(0.01, 90, alpha=0.1, warmup_target=BASE, warmup_steps=25)
    ours = linear(25, start=0.01, end=BASE) >> cosine(90, start=BASE, end=0.1 * BASE)
    assert_equal(ours, theirs)


# Keras finds a growing cycle by a logarithm in float32. Where a restart falls on a whole step, the
# processor's rounding decides which cycle that is, so these steps are left out.
@pytest.mark.parametrize(
    ("growth", "decay", "restarts"),
    [(1.0, 1.0, ()), (1.0, 0.8, ()), (2.0, 0.8, (16, 48, 112, 240))],
)
def test_cosine_decay_restarts(growth, decay, restarts):
    theirs = peer.CosineDecayRestarts(BASE, 16, t_mul=growth, m_mul=decay, alpha=0.1)
    ours = cosine_restarts(16, period_growth=growth, peak_decay=decay, end=0.1) * BASE
    assert_equal(ours, theirs, but=restarts)


def test_cosine_decay_restarts_with_cycles_that_end_between_steps():
    theirs = peer.CosineDecayRestarts(BASE, 7, t_mul=1.37, m_mul=0.8, alpha=0.1)
    ours = cosine_restarts(7, period_growth=1.37, peak_decay=0.8, end=0.1) * BASE
    # Within a cycle Keras subtracts 1 - 1.37**i, which costs it another digit.
    assert_equal(ours, theirs, steps=150, but=(7,), floor=1e-6 * BASE)


@pytest.mark.parametrize("staircase", [False, True])
def test_exponential_decay(staircase):
    theirs = peer.ExponentialDecay(BASE, 20, 0.7, staircase=staircase)
    assert_equal(exponential(0.7, every=20, staircase=staircase) * BASE, theirs)


def test_piecewise_constant_decay():
    # Keras changes on the step after the boundary: `step <= boundary` still has the old value.
    theirs = peer.PiecewiseConstantDecay([20, 60], [0.3, 0.2, 0.1])
    assert_equal(piecewise_constant([21, 61], [0.3, 0.2, 0.1]), theirs)


@pytest.mark.parametrize("cycle", [False, True])
@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
def test_polynomial_decay(power, cycle):
    theirs = peer.PolynomialDecay(BASE, 40, end_learning_rate=0.03, power=power, cycle=cycle)
    ours = polynomial(40, power=power, start=BASE, end=0.03, cycle=cycle)
    # A root of 1 - p near p = 1 makes of one rounding its square root, sqrt(6e-8) = 2.4e-4; and
    # compiled by XLA, 1 - p is less than 0 at the end and its root is NaN in Keras.
    if power < 1:
        assert_equal(ours, theirs, floor=BASE * 2.5e-4, compiled=theirs)
    else:
        assert_equal(ours, theirs)


@pytest.mark.parametrize("staircase", [False, True])
def test_inverse_time_decay_is_a_function_of_ones_own(staircase):
    theirs = peer.InverseTimeDecay(BASE, 20, 0.5, staircase=staircase)
    if staircase:
        ours = from_function(lambda step: 1 / (1 + 0.5 * (step // 20)))
    else:
        ours = from_function(lambda step: 1 / (1 + 0.5 * step / 20))
    assert_equal(ours * BASE, theirs)
