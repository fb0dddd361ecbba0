"""find_lr reads how the rate will go from the optimizer, and its probes train in that shape."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from keras.optimizers import schedules

from layerwise import constant, cosine, exponential, linear, one_cycle, warmup
from layerwise.finder import SearchOptions
from layerwise.keras import LearningRateSchedule, LRMultiplier, find_lr
from layerwise.keras._finder.course import course_of
from tests._support.keras.networks import loss, make_data, make_network

RISING = warmup(40) >> cosine(360)


class Line(schedules.LearningRateSchedule):
    """A schedule of the user's: from 0.2 to 0 in 300 batches."""

    def __call__(self, step: Any) -> Any:
        return 0.2 * keras.ops.maximum(1 - keras.ops.cast(step, "float32") / 300, 0.0)

    def get_config(self) -> dict[str, Any]:
        return {}


def make(optimizer: Any = "sgd") -> Any:
    model = make_network()
    model.compile(optimizer, loss=loss())
    return model


def found(optimizer: Any, **options: Any) -> Any:
    x, y = make_data()
    return find_lr(make(optimizer), x, y, batch_size=16, steps=60, progress=False, **options)


def sgd(rate: Any, **options: Any) -> Any:
    return keras.optimizers.SGD(rate, **options)


COURSES: list[tuple[Callable[[], Any], Callable[[int], float], int]] = [
    (lambda: sgd(schedules.CosineDecay(0.1, 400)), cosine(400), 400),
    (lambda: sgd(schedules.CosineDecay(0.0, 360, 0.0, "c", 0.1, 40)), RISING, 400),
    (lambda: sgd(schedules.PolynomialDecay(0.5, 200, 0.1)), lambda n: 1 - 0.8 * n / 200, 200),
    (lambda: sgd(Line()), lambda n: max(1 - n / 300, 0.0), 300),
    (lambda: sgd(LearningRateSchedule(one_cycle(400) * 3e-3)), one_cycle(400), 400),
    (lambda: LRMultiplier("adam", schedule=RISING), RISING, 400),
    (lambda: LRMultiplier("adam", schedule=0.5 * cosine(400)), 0.5 * cosine(400), 400),
    (
        lambda: LRMultiplier(LRMultiplier("sgd", schedule=cosine(400)), schedule=warmup(40)),
        cosine(400) * warmup(40),
        400,
    ),
    (
        lambda: LRMultiplier(sgd(schedules.CosineDecay(0.1, 400)), schedule=warmup(40)),
        cosine(400) * warmup(40),
        400,
    ),
    # Two of one name are two.
    (
        lambda: LRMultiplier(sgd(LearningRateSchedule(linear(100))), schedule=linear(100)),
        lambda n: linear(100)(n) ** 2,
        100,
    ),
    (
        lambda: LRMultiplier(
            LRMultiplier("sgd", schedule=lambda n: keras.ops.maximum(1 - n / 400, 0.0)),
            schedule=lambda n: keras.ops.maximum(1 - n / 200, 0.5),
        ),
        lambda n: max(1 - n / 400, 0.0) * max(1 - n / 200, 0.5),
        400,
    ),
    (
        lambda: LRMultiplier("sgd", schedule=lambda n: keras.ops.maximum(1 - n / 400, 0.0)),
        lambda n: max(1 - n / 400, 0.0),
        400,
    ),
    (
        lambda: sgd(schedules.CosineDecay(0.1, 400), gradient_accumulation_steps=4),
        cosine(100),
        100,
    ),
]


@pytest.mark.parametrize(("optimizer", "expected", "length"), COURSES)
def test_the_course_is_that_of_the_optimizer(
    optimizer: Any, expected: Callable[[int], float], length: int
) -> None:
    course = course_of(make(optimizer()))
    assert course is not None
    steps = range(0, length + 1, 7)
    values = [expected(step) for step in steps]
    assert [course(step) for step in steps] == pytest.approx(values, abs=2e-5)


def test_a_plain_optimizer_says_nothing() -> None:
    for optimizer in ("adam", sgd(0.1), sgd(lambda: 0.3), LRMultiplier("adam", {"low": 0.5})):
        assert course_of(make(optimizer)) is None


def test_it_counts_from_where_training_has_come_to() -> None:
    x, y = make_data()
    model = make(LRMultiplier("sgd", schedule=cosine(400)))
    model.fit(x[:64], y[:64], batch_size=16, epochs=2, verbose=0)
    course = course_of(model)
    assert course is not None
    done = int(model.optimizer.iterations)
    assert done == 8
    assert [course(step) for step in (0, 100)] == [cosine(400)(step) for step in (8, 108)]


def test_the_answer_is_that_of_the_same_shape_as_an_argument() -> None:
    ways = {
        "read": found(sgd(schedules.CosineDecay(0.0, 360, 0.0, "c", 0.1, 40))),
        "ours": found(LRMultiplier("sgd", schedule=RISING)),
        "given": found(sgd(0.1), schedule=RISING),
        "over it": found(sgd(schedules.ExponentialDecay(0.1, 10, 0.5)), schedule=RISING),
    }
    rates = [finding.suggestion for finding in ways.values()]
    assert rates == pytest.approx([rates[0]] * 4, rel=1e-3)
    assert ways["read"].schedule == "the optimizer's CosineDecay"
    assert ways["ours"].schedule == ways["given"].schedule == repr(RISING)


def test_a_constant_schedule_is_a_constant_rate() -> None:
    steady = found("sgd", schedule="constant")
    assert steady.schedule == "constant"
    assert found(LRMultiplier("sgd", schedule=constant())).suggestion == steady.suggestion
    assert steady.suggestion != found("sgd").suggestion


def test_half_the_schedule_is_twice_the_base() -> None:
    whole, half = (
        found(LRMultiplier("sgd", schedule=each)) for each in (cosine(400), 0.5 * cosine(400))
    )
    assert half.suggestion == pytest.approx(2 * whole.suggestion, rel=1e-3)


@pytest.mark.parametrize(
    "rate",
    [
        schedules.ExponentialDecay(0.1, 100, 0.5),
        schedules.InverseTimeDecay(0.1, 100, 0.5),
        schedules.CosineDecayRestarts(0.1, 50),
        LearningRateSchedule(exponential(0.99)),
    ],
    ids=lambda rate: type(rate).__name__,
)
def test_an_endless_schedule_needs_a_horizon_and_says_so(rate: Any) -> None:
    plain, silent = found(sgd(0.1)), found(sgd(rate))
    assert (silent.suggestion, silent.schedule) == (plain.suggestion, "falling")
    assert "no end that could be read: pass horizon=" in silent.reason
    told = found(sgd(rate), horizon=400)
    assert told.schedule.startswith("the optimizer's ")
    assert "pass horizon=" not in told.reason


def test_reading_it_leaves_no_trace() -> None:
    x, y = make_data()
    model = make(LRMultiplier(sgd(schedules.CosineDecay(0.1, 400)), {"low": 0.5}, schedule=RISING))
    before = [np.array(weight) for weight in model.get_weights()]
    rate = model.optimizer.get_config()
    find_lr(model, x, y, batch_size=16, steps=20, progress=False)
    assert model.optimizer.get_config() == rate
    for now, then in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(now, then)


def test_the_sweep_alone_asks_nothing() -> None:
    assert not SearchOptions(method="sweep").asks_optimizer
    finding = found(sgd(schedules.CosineDecay(0.1, 400)), method="sweep")
    assert finding.schedule == "falling"
