"""A Layerwise schedule wherever Keras takes one."""

from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

from layerwise import constant, cosine, cyclic, linear, warmup
from layerwise.errors import ScheduleError
from layerwise.keras import LearningRateSchedule, LRMultiplier
from tests._support.keras.networks import fit, make_network
from tests._support.keras.optimizers import make
from tests._support.keras.variables import arrays, bits, make_gradients, make_variables

RATE = (warmup(3) >> cosine(9, end=0.1)) * 0.01


@pytest.mark.parametrize("optimizer", ["plain", "multiplied", "handed on as it is"])
def test_as_learning_rate(optimizer: str) -> None:
    rate: Any = LearningRateSchedule(RATE)
    made = {
        "plain": lambda: keras.optimizers.SGD(rate),
        "multiplied": lambda: LRMultiplier(keras.optimizers.SGD(rate)),
        "handed on as it is": lambda: LRMultiplier(keras.optimizers.SGD(RATE)),
    }[optimizer]()
    variables = make_variables()
    for step in range(14):
        before = arrays(variables)
        made.apply(make_gradients(step), variables)
        for old, new, gradient in zip(before, arrays(variables), make_gradients(step), strict=True):
            moved = RATE(step) * ops.convert_to_numpy(gradient)
            # A difference of float32 weights of order one is known to 1e-7 of them.
            np.testing.assert_allclose(old - new, moved, rtol=1e-5, atol=5e-7)


def test_in_fit_it_equals_a_callback_that_sets_the_rate() -> None:
    mine, theirs = make_network(), make_network()

    class SetRate(keras.callbacks.Callback):
        step = 0

        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
            self.model.optimizer.learning_rate = RATE(self.step)
            self.step += 1

    fit(mine, LRMultiplier(keras.optimizers.Adam(1.0), schedule=RATE), epochs=2)
    fit(theirs, keras.optimizers.Adam(1.0), epochs=2, callbacks=[SetRate()])
    for a, b in zip(arrays(mine.weights), arrays(theirs.weights), strict=True):
        # float32 cosines of the compiled step against float64 ones: an ulp or two of the rate.
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("where", ["schedule", "multiplier", "rate"])
def test_steps_are_applied_updates_under_gradient_accumulation(where: str) -> None:
    sgd = keras.optimizers.SGD(
        LearningRateSchedule(RATE) if where == "rate" else 1.0, gradient_accumulation_steps=3
    )
    arguments = {
        "schedule": {"schedule": RATE},
        "multiplier": {"rules": {"*": RATE}, "match": "glob"},
        "rate": {},
    }[where]
    optimizer = LRMultiplier(sgd, **arguments)
    variables = make_variables()
    gradient = [ops.ones(v.shape) for v in variables]
    moved = []
    for _ in range(12):
        before = arrays(variables)[0]
        optimizer.apply(gradient, variables)
        moved.append(float((before - arrays(variables)[0]).mean()))
    updates = [RATE(n) for n in range(4)]
    np.testing.assert_allclose(moved[2::3], updates, rtol=1e-4, atol=1e-7)
    assert set(moved[:2] + moved[3:5]) == {0.0}


def test_no_recompilation_while_a_rate_changes() -> None:
    traced = []

    def counting(step: Any) -> Any:
        traced.append(step)
        return 1.0 + 0.0 * step

    model = make_network()
    rules = {"low": counting, "high": cyclic(3, low=0.1)}
    fit(model, LRMultiplier("adam", rules, schedule=warmup(5)), epochs=2)
    evaluations = len(traced)
    x = [np.ones((8, 6), "float32"), np.zeros(8, "int32")]
    for rate in (0.1, 0.2, 0.3):
        model.optimizer.learning_rate = rate
        model.fit(*x, batch_size=8, verbose=0)
    # Torch runs without a compiler and evaluates every step; the others trace once, ever.
    expected = 3 if keras.backend.backend() == "torch" else 0
    assert len(traced) - evaluations == expected


def test_schedules_keep_whole_steps_at_a_billion() -> None:
    schedule = cyclic(1000, low=0.5)
    optimizer = LRMultiplier(keras.optimizers.SGD(1.0), schedule=schedule)
    variables = make_variables()
    optimizer.build(variables)
    step = 1_000_000_300
    optimizer.iterations.assign(step)
    before = arrays(variables)[0]
    optimizer.apply([ops.ones(v.shape) for v in variables], variables)
    np.testing.assert_allclose(before - arrays(variables)[0], schedule(step), atol=1e-6)


def test_setting_a_schedule_later() -> None:
    optimizer = LRMultiplier("sgd", {"low": 0.5})
    variables = make_variables()
    optimizer.learning_rate = constant(0.25)
    optimizer.build(variables)
    assert list(optimizer.learning_rates().values()) == [0.125] * 2 + [0.25] * 4


@pytest.mark.parametrize("name", ["sgd", "nadam"])
def test_a_constant_schedule_of_one_changes_nothing(name: str) -> None:
    mine, theirs = make_variables(), make_variables()
    optimizer, plain = LRMultiplier(make(name), schedule=constant(1.0)), make(name)
    for step in range(4):
        optimizer.apply(make_gradients(step), mine)
        plain.apply(make_gradients(step), theirs)
    assert bits(mine) == bits(theirs)


def test_a_learning_rate_is_not_counted() -> None:
    counting = linear(100).by("tokens") * 0.1
    config = {"schedule": counting.to_config()}
    for make_one in (
        lambda: LearningRateSchedule(counting),
        lambda: LearningRateSchedule.from_config(config),
        lambda: setattr(LRMultiplier("sgd"), "learning_rate", counting),
    ):
        with pytest.raises(ScheduleError, match=r"counts tokens, .*LRMultiplier\(optimizer, sch"):
            make_one()
