"""Every schedule gives the same values on every array library, eager, compiled and traced.

Our own NumPy float64 is the oracle here; the peers' schedulers are the oracle for that one.
"""

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest
import tensorflow as tf
import torch

from layerwise.errors import ScheduleError
from layerwise.schedules import constant, cosine, cyclic, exponential, linear, one_cycle
from tests._support.schedules import SCHEDULES

STEPS = np.arange(400)

# float32 has 24 bits, 6e-8: a formula of a few operations is right to 1e-6. Where a schedule falls
# to 0 by subtraction or in an exponent, the error is relative to what it fell from, hence the floor
# of about two roundings of the largest value.
RELATIVE, FLOOR = 1e-6, 1.5e-7

every = pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=list(SCHEDULES))


def assert_same(values, schedule, steps=STEPS):
    truth = schedule(steps)
    assert values.dtype == np.float32
    assert values.shape == truth.shape
    np.testing.assert_allclose(values, truth, rtol=RELATIVE, atol=FLOOR * np.max(truth))


@every
def test_python_numbers_equal_numpy(schedule):
    values = [schedule(int(step)) for step in STEPS]
    assert all(type(value) is float for value in values)
    np.testing.assert_allclose(values, schedule(STEPS), rtol=1e-13, atol=1e-16)


@every
def test_python_floats_equal_python_integers(schedule):
    values = [schedule(float(step)) for step in STEPS]
    np.testing.assert_allclose(values, schedule(STEPS), rtol=1e-12, atol=1e-15)


@every
def test_jax_under_jit(schedule):
    compiled = jax.jit(schedule)
    assert_same(np.asarray(compiled(jnp.asarray(STEPS))), schedule)
    assert_same(np.asarray(compiled(jnp.int32(77))), schedule, np.asarray(77))


@every
def test_jax_with_float_steps(schedule):
    assert_same(np.asarray(jax.jit(schedule)(jnp.asarray(STEPS, jnp.float32))), schedule)


@every
def test_tensorflow_inside_a_function(schedule):
    compiled = tf.function(schedule, input_signature=[tf.TensorSpec(None, tf.int64)])
    assert_same(compiled(STEPS).numpy(), schedule)
    assert_same(compiled(tf.constant(77, tf.int64)).numpy(), schedule, np.asarray(77))


@every
def test_tensorflow_eager_with_narrow_integers(schedule):
    assert_same(schedule(tf.constant(STEPS, tf.int32)).numpy(), schedule)


@pytest.mark.parametrize("kind", [torch.int32, torch.int64, torch.float32])
@every
def test_torch(schedule, kind):
    assert_same(schedule(torch.tensor(STEPS, dtype=kind)).numpy(), schedule)
    assert_same(schedule(torch.tensor(77, dtype=kind)).numpy(), schedule, np.asarray(77))


@every
def test_numpy_in_two_dimensions_and_narrow_types(schedule):
    steps = STEPS.reshape(20, 20)
    np.testing.assert_array_equal(schedule(steps), schedule(STEPS).reshape(20, 20))
    np.testing.assert_array_equal(schedule(STEPS.astype(np.uint16)), schedule(STEPS))
    assert schedule(STEPS.astype(np.float32)).dtype == np.float32


@every
def test_steps_below_zero_count_as_zero(schedule):
    assert schedule(-3) == schedule(0)
    np.testing.assert_array_equal(schedule(np.asarray([-3, 0])), schedule(np.asarray([0, 0])))
    assert schedule(torch.tensor(-3)) == schedule(torch.tensor(0))


def test_jax_gives_float64_where_it_is_on():
    with jax.enable_x64(True):
        values = jax.jit(cosine(100))(jnp.arange(120))
        assert values.dtype == jnp.float64
        np.testing.assert_allclose(values, cosine(100)(np.arange(120)), rtol=1e-14, atol=1e-17)


def test_a_schedule_can_be_mapped_and_differentiated_in_jax():
    steps = jnp.arange(120)
    np.testing.assert_array_equal(jax.vmap(cosine(100))(steps), cosine(100)(steps))
    slope = jax.grad(linear(10))(jnp.float32(5.0))
    assert slope == pytest.approx(-0.1, rel=1e-6)


@pytest.mark.parametrize(
    ("step", "kind"),
    [
        (3, float),
        (3.0, float),
        (True, float),
        (np.int8(3), np.float64),
        (np.float64(3), np.float64),
        (np.float32(3), np.float32),
    ],
)
def test_the_type_of_a_scalar(step, kind):
    assert type(linear(10)(step)) is kind
    assert type(constant()(step)) is kind


def test_numpy_array_of_no_dimension_stays_one():
    value = linear(10)(np.asarray(5))
    assert isinstance(value, np.ndarray)
    assert value.shape == ()
    assert value == 0.5


@pytest.mark.parametrize("name", ["float16", "bfloat16", "float32", "float64"])
def test_float_steps_keep_their_type(name):
    assert cosine(100)(torch.tensor([3.0], dtype=getattr(torch, name))).dtype == getattr(
        torch, name
    )
    assert cosine(100)(tf.constant([3.0], getattr(tf, name))).dtype == getattr(tf, name)
    if name != "float64":
        assert cosine(100)(jnp.asarray([3.0], name)).dtype == name


def test_half_precision_steps_do_not_overflow():
    # 100,000 is infinite in float16; computing in float32 keeps the value finite and right.
    step = torch.tensor(50_000.0, dtype=torch.float16)
    assert linear(100_000)(step).item() == pytest.approx(0.5, rel=1e-3)


@pytest.mark.parametrize(
    "expression",
    [
        "warmup(30) >> cosine(100, end=0.1)",
        "cosine_restarts(20, period_growth=1.3, peak_decay=0.9)",
        "(cosine(60).scale_steps(0.7).delay(3) * 2.0).repeat(2) >> inverse_sqrt(5)",
    ],
)
def test_torch_compile_takes_a_schedule_in_one_graph(expression):
    schedule = SCHEDULES[expression]
    compiled = torch.compile(schedule, backend="eager", fullgraph=True)
    assert_same(compiled(torch.tensor(STEPS)).numpy(), schedule)


def test_torch_default_type_is_respected():
    torch.set_default_dtype(torch.float64)
    try:
        assert cosine(100)(torch.tensor(3)).dtype == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)


def test_torch_result_is_on_the_device_of_the_step():
    step = torch.tensor(3, device="meta")
    for schedule in SCHEDULES.values():
        assert schedule(step).device.type == "meta"


def test_variables_are_steps():
    assert linear(10)(tf.Variable(5)).numpy() == 0.5
    assert float(linear(10)(keras.Variable(5, dtype="int32"))) == 0.5


def test_infinity_is_the_end():
    assert cosine(10, end=0.25)(float("inf")) == 0.25
    assert exponential(0.5)(1e6) == 0.0


@pytest.mark.parametrize(
    "step",
    [
        np.float32(np.inf),
        jnp.float32(np.inf),
        torch.tensor(np.inf),
        torch.tensor(70_000, dtype=torch.float16),
        tf.constant(np.inf),
    ],
    ids=["numpy", "jax", "torch", "torch's half", "tensorflow"],
)
def test_infinity_is_the_end_for_arrays_too(step):
    assert float(one_cycle(100, end=0.25).scale_steps(10)(step)) == 0.25
    assert float(exponential(0.5, every=10)(step)) == 0.0
    assert 0 <= float(cyclic(50, low=0.0)(step)) <= 1


def test_growth_beyond_all_floats_is_infinite_not_an_exception():
    assert exponential(2.0)(5_000) == float("inf")
    assert exponential(2.0)(np.asarray(5_000)) == float("inf")


@pytest.mark.parametrize(
    "step", ["3", None, [1, 2], 1j, np.asarray(["a"]), np.asarray([1j]), object]
)
def test_what_is_no_step_is_named(step):
    with pytest.raises(ScheduleError, match="number of updates applied so far") as caught:
        cosine(10)(step)
    assert repr(step) in str(caught.value)


def test_complex_tensors_are_no_steps():
    for step in (torch.tensor(1j), tf.constant(1j), jnp.asarray(1j)):
        with pytest.raises(ScheduleError, match="number of updates applied so far"):
            cosine(10)(step)


def test_a_call_without_a_step_says_what_to_give_keras():
    with pytest.raises(ScheduleError, match=r"layerwise\.keras\.LearningRateSchedule"):
        cosine(10)()
