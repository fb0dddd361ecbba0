"""Many schedules at one step where that is hardest: odd numbers, odd steps, odd counts, tracing."""

from random import Random

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tensorflow as tf
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from layerwise import constant, cosine, cyclic, exponential, from_function, linear, warmup
from layerwise.errors import ScheduleError
from layerwise.schedules import Schedule, values_together
from tests._support.strategies import any_schedule, cousin

STEPS = st.sampled_from([-4, 0, 1, 5, 17, 100, 333, 1999, 10**6, 2**24 + 1, 2**31 - 1])
MADE_BY = {"jax": jnp.asarray, "tensorflow": tf.constant, "torch": torch.tensor}

ramps = [linear(5), linear(6, end=0.1), warmup(3) >> cosine(7), warmup(2) >> cosine(9)]
by_tokens = [linear(50).by("tokens"), linear(60).by("tokens")]


def assert_as_called(schedules, step, **counts):
    called = [schedule(step, **counts) for schedule in schedules]
    for schedule, value, alone in zip(
        schedules, values_together(schedules, step, **counts), called, strict=True
    ):
        assert type(value) is type(alone)
        assert (value.shape, value.dtype) == (alone.shape, alone.dtype)
        # An array's sine is another routine than a number's.
        np.testing.assert_allclose(value, alone, rtol=1e-6, atol=1e-7, err_msg=repr(schedule))


def family(one: Schedule, other: Schedule, seed: int, tokens: bool) -> list[Schedule]:
    """Schedules of which several are alike, and two are equal."""
    random = Random(seed)
    found = [one, other, *(cousin(one, random) for _ in range(3)), cousin(other, random), one]
    found = [each for each in found if not each._without_steps]
    return (
        [a.by("tokens") * b for a, b in zip(found, found[::-1], strict=True)] if tokens else found
    )


@settings(max_examples=60, deadline=None)
@given(any_schedule(), any_schedule(), st.integers(0, 10**6), st.booleans(), STEPS)
def test_pytorch_on_every_shape_and_combination(one, other, seed, tokens, step):
    counts = {"tokens": torch.tensor(step // 2 + 3)} if tokens else {}
    assert_as_called(family(one, other, seed, tokens), torch.tensor(step), **counts)


@settings(max_examples=6, deadline=None)
@given(any_schedule(), any_schedule(), st.integers(0, 10**6), st.booleans(), STEPS)
def test_tensorflow_on_every_shape_and_combination(one, other, seed, tokens, step):
    counts = {"tokens": tf.constant(step // 2 + 3, tf.int64)} if tokens else {}
    assert_as_called(family(one, other, seed, tokens), tf.constant(step, tf.int64), **counts)


@settings(max_examples=4, deadline=None)
@given(any_schedule(), any_schedule(), st.integers(0, 10**6), STEPS)
def test_jax_on_every_shape_and_combination(one, other, seed, step):
    schedules = family(one, other, seed, tokens=False)
    try:
        assert_as_called(schedules, jnp.asarray(step))
    except ScheduleError:  # a number that 32 bits can't hold: then it is an error here, too
        with pytest.raises(ScheduleError):
            values_together(schedules, jnp.asarray(step))


@pytest.mark.parametrize("library", MADE_BY)
@pytest.mark.parametrize("tokens", [11, 11.5])
@pytest.mark.parametrize("as_array", [True, False])
def test_counts_that_are_numbers_and_counts_that_are_floats(library, tokens, as_array):
    make = MADE_BY[library]
    assert_as_called(by_tokens, make(3), tokens=make(tokens) if as_array else tokens)


@pytest.mark.parametrize("library", MADE_BY)
def test_a_schedule_that_no_integers_of_the_library_hold(library):
    schedules = [cyclic(5, 0.1, decay=0.5, decay_freq=2**40 + i) for i in range(2)]
    if library == "jax":
        with pytest.raises(ScheduleError, match=r"decay_freq=1099511627776.* can't be computed"):
            values_together(schedules, jnp.asarray(7))
    else:
        assert_as_called(schedules, MADE_BY[library](7))


@pytest.mark.parametrize("step", [np.int64(3), np.array(3), np.int64(10**6), np.float32(2.5)])
def test_numpy_gives_the_very_bits_of_the_calls(step):
    schedules = [exponential(2.0), exponential(3.0)]  # 2.0 ** 3 by a logarithm is not 8
    for schedule, value in zip(schedules, values_together(schedules, step), strict=True):
        assert type(value) is type(schedule(step))
        np.testing.assert_array_equal(value, schedule(step))


@pytest.mark.parametrize("shape", [None, [], [None], [2]])
def test_tensorflow_traces_steps_of_every_shape(shape):
    traced = tf.function(
        lambda step: values_together(ramps, step), input_signature=[tf.TensorSpec(shape, tf.int64)]
    )
    step = tf.constant([1, 4] if shape else 4, tf.int64)
    for schedule, value in zip(ramps, traced(step), strict=True):
        np.testing.assert_allclose(value, schedule(step), rtol=1e-6)


def test_a_tensorflow_variable_is_a_step():
    assert_as_called(ramps, tf.Variable(3))
    assert_as_called([constant(0.5)] * 2, tf.Variable(3))


def test_pytorch_compiles_them_in_one_piece():
    def stacked(step):
        return torch.stack(values_together(ramps, step))

    compiled = torch.compile(stacked, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(torch.tensor(3)), stacked(torch.tensor(3)))


@pytest.mark.parametrize("compiled", [True, False])
def test_jax_maps_and_scans(compiled):
    def stacked(step):
        return jnp.stack(values_together(ramps, step))

    def scanned(start):
        return jax.lax.scan(lambda step, _: (step + 1, stacked(step)), start, None, length=12)[1]

    steps = jnp.arange(12)
    expected = np.stack([schedule(np.arange(12)) for schedule in ramps], -1)
    way = jax.jit if compiled else lambda function: function
    np.testing.assert_allclose(way(jax.vmap(stacked))(steps), expected, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(way(scanned)(steps[0]), expected, rtol=1e-6, atol=1e-7)


def test_jax_maps_over_counts_alone():
    def stacked(tokens):
        return jnp.stack(values_together(by_tokens, jnp.asarray(3), tokens=tokens))

    tokens = np.arange(0, 90, 7)
    expected = np.stack([each(tokens, tokens=tokens) for each in by_tokens], -1)
    np.testing.assert_allclose(jax.vmap(stacked)(jnp.asarray(tokens)), expected, rtol=1e-6)
    np.testing.assert_allclose(jax.jit(jax.vmap(stacked))(jnp.asarray(tokens)), expected, rtol=1e-6)


@pytest.mark.parametrize("dtype", [jnp.bool_, jnp.int8, jnp.uint8, jnp.uint32, jnp.float16])
def test_jax_steps_of_every_type(dtype):
    schedules = [linear(500), linear(600), *ramps]
    step = jnp.asarray(1, dtype)
    assert_as_called(schedules, step)
    found = jax.jit(lambda step: values_together(schedules, step))(step)
    np.testing.assert_allclose(found, [each(step) for each in schedules], rtol=1e-3)


def test_jax_of_64_bits():
    with jax.enable_x64(True):
        schedules = [linear(3_000_000_000 + i).skip(i) for i in range(3)]
        step = jnp.asarray(2_999_999_999)
        for found in (
            values_together(schedules, step),
            jax.jit(lambda step: values_together(schedules, step))(step),
        ):
            assert all(each.dtype == jnp.float64 for each in found)
            assert np.array(found) == pytest.approx(
                [s(2_999_999_999) for s in schedules], rel=1e-12
            )


def test_one_none_and_equal_ones():
    for step in (2, 2.5, np.int64(2), jnp.asarray(2), torch.tensor(2)):
        assert values_together([], step) == []
        assert values_together([linear(4)], step) == [linear(4)(step)]
        assert values_together((linear(4), linear(4)), step) == [linear(4)(step)] * 2


def test_functions_stand_beside_schedules():
    mixed = [from_function(lambda s: s / 2) * linear(n) for n in (3, 4)]
    assert_as_called([*mixed, linear(5), linear(6)], jnp.asarray(1))


@pytest.mark.parametrize("step", [1, jnp.asarray(1)])
def test_what_is_no_schedule_is_told(step):
    with pytest.raises(ScheduleError, match=r"must be a schedule, got 0\.5"):
        values_together([linear(3), 0.5], step)
    with pytest.raises(ScheduleError, match="has no value"):
        values_together([linear(0), linear(0)], step)
    with pytest.raises(ScheduleError, match="takes the number of updates"):
        values_together([linear(3), linear(4)], "3")
