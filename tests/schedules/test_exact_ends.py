"""The ends are exact in float32 too, and where XLA replaces a division by a multiplication."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tensorflow as tf
import torch

from layerwise.schedules import (
    cosine,
    cosine_restarts,
    cyclic,
    linear,
    one_cycle,
    polynomial,
    quarter_cosine,
    rex,
    warmup_stable_decay,
)

START, END = np.float32(0.3), np.float32(0.7)

RAMPS = {
    "linear": lambda n: linear(n, 0.3, 0.7),
    "cosine": lambda n: cosine(n, 0.3, 0.7),
    "cosine, k-decay": lambda n: cosine(n, 0.3, 0.7, k=1.7),
    "quarter cosine": lambda n: quarter_cosine(n, 0.3, 0.7),
    "rex": lambda n: rex(n, 0.3, 0.7, beta=0.7),
    "polynomial, k-decay": lambda n: polynomial(n, 0.5, 0.3, 0.7, k=0.6),
    "polynomial": lambda n: polynomial(n, 2.0, 0.3, 0.7),
    "one_cycle": lambda n: one_cycle(n, 0.3, 0.3, 0.7),
    "one_cycle, linear": lambda n: one_cycle(n, 0.3, 0.3, 0.7, anneal="linear"),
    "one_cycle, three phases": lambda n: one_cycle(n, 0.3, 0.3, 0.7, phases=3),
    "warmup_stable_decay": lambda n: warmup_stable_decay(n, n // 3, n // 2, end=0.7, start=0.3),
}

COMPILED = {
    "jax": lambda schedule, steps: jax.jit(schedule)(jnp.asarray(steps)),
    "tensorflow": lambda schedule, steps: tf.function(schedule, jit_compile=True)(
        tf.constant(steps)
    ).numpy(),
    "torch": lambda schedule, steps: schedule(torch.tensor(steps)).numpy(),
}

# 9 * (1 / 9) is less than 1 in float32, and so it is for 17, 18, 21.
LENGTHS = (9, 17, 18, 21, 100, 1_000_003)


@pytest.mark.parametrize("compiled", COMPILED.values(), ids=list(COMPILED))
@pytest.mark.parametrize("ramp", RAMPS.values(), ids=list(RAMPS))
def test_ramps(ramp, compiled):
    for n in LENGTHS:
        values = compiled(ramp(n), [0, n, n + 1, 2 * n, 2**31 - 1])
        assert np.asarray(values).tolist() == [START, END, END, END, END]


@pytest.mark.parametrize("compiled", COMPILED.values(), ids=list(COMPILED))
def test_cycles(compiled):
    for n in LENGTHS:
        values = compiled(cyclic(n, low=0.3, high=0.7), [0, n, 2 * n, 3 * n])
        assert np.asarray(values).tolist() == [START, END, START, END]


@pytest.mark.parametrize("compiled", COMPILED.values(), ids=list(COMPILED))
@pytest.mark.parametrize("growth", [1, 2])
def test_restarts_with_warm_ups(compiled, growth):
    for n in LENGTHS:
        schedule = cosine_restarts(
            2 * n, growth, 0.7, end=0.3, warmup=n, decay_of="peak", cycles=2, k=1.5
        )
        second = n + growth * n  # the length of the second cycle
        steps = [0, n, 2 * n, 3 * n, 2 * n + second, 2 * n + second + 1]
        values = compiled(schedule, steps)
        assert np.asarray(values).tolist() == [START, 1.0, START, END, START, START]
