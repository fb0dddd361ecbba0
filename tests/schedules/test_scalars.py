"""A whole number or a number may be a scalar of any library, wherever one is asked for."""

import jax.numpy as jnp
import numpy as np
import pytest
import tensorflow as tf
import torch

from layerwise import plots
from layerwise.errors import LayerwiseError, ScheduleError
from layerwise.schedules import (
    Schedule,
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
    polynomial,
    warmup_stable_decay,
)
from tests._support.pictures import axes

MAKERS = {
    "numpy": np.asarray,
    "numpy's scalar": lambda value: np.asarray(value)[()],
    "jax": jnp.asarray,
    "torch": torch.as_tensor,
    "torch's parameter": lambda value: torch.nn.Parameter(
        torch.as_tensor(value), requires_grad=False
    ),
    "tensorflow": tf.constant,
}
SMALL = {"numpy's int8": np.int8, "numpy's uint64": np.uint64, "torch's uint8": torch.tensor}

every_maker = pytest.mark.parametrize("make", MAKERS.values(), ids=list(MAKERS))

MADE = {
    "constant": lambda n, x: constant(x(0.5), steps=n(10)),
    "linear": lambda n, x: linear(n(10), start=x(0.25), end=x(2.0)),
    "cosine": lambda n, x: cosine(n(10), x(1.0), x(0.5)),
    "polynomial": lambda n, x: polynomial(n(10), power=x(2.0)),
    "exponential": lambda n, x: exponential(x(0.5), every=n(10)),
    "inverse_sqrt": lambda n, x: inverse_sqrt(n(10), hold=n(3)),
    "cyclic": lambda n, x: cyclic(n(10), x(0.25), decay=x(0.5), decay_freq=n(2)),
    "cosine_restarts": lambda n, x: cosine_restarts(n(10), period_growth=x(2.0)),
    "one_cycle": lambda n, x: one_cycle(n(10), peak_at=x(0.25), phases=n(3)),
    "wsd": lambda n, x: warmup_stable_decay(n(10), warmup=n(2), decay=n(3)),
    "piecewise": lambda n, x: piecewise_constant([n(1), n(2)], [x(1.0), x(0.5), x(0.25)]),
    "from_function": lambda n, x: from_function(abs, length=n(10)),
    "product": lambda n, x: cosine(10) * x(0.5),
    "clamp": lambda n, x: cosine(10).clamp(x(0.25), x(0.5)),
    "delay": lambda n, x: cosine(10).delay(n(3)),
    "cut": lambda n, x: cosine(10).cut(n(3)),
    "repeat": lambda n, x: cosine(10).repeat(n(3), decay=x(0.5)),
    "scale_steps": lambda n, x: cosine(10).scale_steps(x(2.0)),
}


@every_maker
@pytest.mark.parametrize("build", MADE.values(), ids=list(MADE))
def test_a_scalar_is_the_number(build, make):
    plain = build(int, float)
    assert build(make, make) == plain
    assert repr(build(make, make)) == repr(plain)
    if "from_function" not in repr(plain):
        assert build(make, make).to_config() == plain.to_config()


@pytest.mark.parametrize("make", SMALL.values(), ids=list(SMALL))
def test_a_small_integer_is_one_too(make):
    assert linear(make(100)).repeat(make(3)) == linear(100).repeat(3)


@every_maker
def test_a_picture_takes_it_as_its_steps(make):
    for steps in (make(20), make(20.0)):
        ax = plots.schedule(exponential(0.9), steps, ax=axes())
        assert ax.lines[0].get_xdata()[-1] == 20


NO_STEPS = [0, -1, 1.5, True, "20", 10**30, 10**5000, None, [1], [[1], [1, 2]], [2, 1]]
NO_STEPS += [np.asarray([0.5, 1.5]), float("nan")]


@pytest.mark.parametrize("steps", NO_STEPS, ids=range(13))
def test_what_are_no_steps_of_a_picture(steps):
    with pytest.raises(LayerwiseError) as caught:
        plots.schedule(exponential(0.9), steps, ax=axes())
    assert len(str(caught.value)) < 1_000


@pytest.mark.parametrize("make", MAKERS.values(), ids=list(MAKERS))
@pytest.mark.parametrize("wrong", [True, [3], -1, 1.5, float("nan")])
def test_what_is_no_whole_number_stays_wrong(make, wrong):
    with pytest.raises(ScheduleError, match="linear: steps must be a whole number"):
        linear(make(wrong))


def test_a_choice_may_come_from_another_library():
    assert one_cycle(10, phases=np.int64(2), anneal=np.str_("linear")) == one_cycle(
        10, anneal="linear"
    )
    assert exponential(0.5, staircase=np.bool_(True)) == exponential(0.5, staircase=True)
    for wrong in (np.float64(2.0), np.bool_(True), np.int64(4)):
        with pytest.raises(ScheduleError, match="phases must be one of 2, 3"):
            one_cycle(10, phases=wrong)


def test_an_array_without_a_dimension_is_no_sequence_and_no_end_is_no_length():
    with pytest.raises(ScheduleError, match="boundaries must be a sequence"):
        piecewise_constant(np.asarray(3), [1.0])

    def endless():
        while True:
            yield 1.0

    with pytest.raises(ScheduleError, match="values must have at most 1,000,000 items"):
        piecewise_constant([1], endless())


def test_a_number_of_another_library_in_a_class_of_ones_own_is_written():
    class Own(Schedule):
        def evaluate(self, clock):
            return clock.real()

        def config_arguments(self):
            return {"n": np.int64(3), "x": jnp.float32(0.5), "t": torch.tensor(2)}

    assert Own().to_config()["schedule"]["arguments"] == {"n": 3, "x": 0.5, "t": 2}
