"""The sweep records what a loop written by hand records, and suggests a rate that trains."""

import subprocess
import sys
from typing import Any

import keras
import numpy as np
import pytest

from layerwise import cosine, warmup
from layerwise.keras import LearningRateSchedule, LRMultiplier, find_lr
from tests._support.keras.networks import loss, make_data, make_network

SWEEP: dict[str, Any] = {"method": "sweep", "stop": "never", "progress": False}


def make(optimizer: Any = "sgd", **options: Any) -> Any:
    """The small network with a regularizer, compiled."""
    model = make_network(kernel_regularizer=keras.regularizers.L2(0.01))
    model.compile(optimizer, loss=options.pop("loss", None) or loss(), **options)
    return model


def by_hand(model: Any, rates: Any, batches: list[tuple[Any, ...]]) -> list[float]:
    """The loss of each batch before its update, computed apart from the training step."""
    losses = []
    for number, rate in enumerate(rates):
        x, y, *weight = batches[number % len(batches)]
        prediction = model(x, training=True)
        value = loss()(y, prediction, sample_weight=weight[0] if weight else None)
        losses.append(sum(float(keras.ops.convert_to_numpy(v)) for v in [value, *model.losses]))
        model.optimizer.learning_rate = rate
        model.train_on_batch(x, y, *weight)
    return losses


def in_batches(*arrays: Any, size: int = 16) -> list[tuple[Any, ...]]:
    return [tuple(a[i : i + size] for a in arrays) for i in range(0, len(arrays[0]), size)]


def test_losses_are_each_batchs_own() -> None:
    x, y = make_data()
    found = find_lr(make("adam"), x, y, batch_size=16, shuffle=False, steps=20, high=1, **SWEEP)
    expected = by_hand(make("adam"), found.rates, in_batches(x, y))
    np.testing.assert_allclose(found.losses, expected, rtol=1e-6, atol=1e-6)
    assert found.stopped == "reached the upper rate"


def test_losses_are_weighted_by_sample() -> None:
    x, y = make_data()
    weight = np.linspace(0, 3, len(x)).astype("float32")
    options = {"batch_size": 16, "shuffle": False, "steps": 12, "high": 1.0} | SWEEP
    found = find_lr(make(), x, y, sample_weight=weight, **options)
    expected = by_hand(make(), found.rates, in_batches(x, y, weight))
    np.testing.assert_allclose(found.losses, expected, rtol=1e-6, atol=1e-6)


def test_losses_are_weighted_by_class() -> None:
    x, y = make_data()
    classes = {0: 0.5, 1: 1.0, 2: 4.0}
    weight = np.array([classes[int(c)] for c in y], "float32")
    options = {"batch_size": 16, "shuffle": False, "steps": 12, "high": 1.0} | SWEEP
    found = find_lr(make(), x, y, class_weight=classes, **options)
    expected = by_hand(make(), found.rates, in_batches(x, y, weight))
    np.testing.assert_allclose(found.losses, expected, rtol=1e-6, atol=1e-6)


def test_the_sweep_is_linear_on_request() -> None:
    x, y = make_data()
    found = find_lr(make(), x, y, low=0.1, high=1.0, steps=10, spacing="linear", **SWEEP)
    np.testing.assert_allclose(found.rates, np.linspace(0.1, 1.0, 10))


def test_the_suggestion_trains() -> None:
    x, y = make_data(128)
    model = make("adam")
    found = find_lr(model, x, y, batch_size=16, progress=False, steps=40, horizon=40)
    assert found.method == "probe"
    model.optimizer.learning_rate = found.suggestion
    first = model.evaluate(x, y, verbose=0)
    model.fit(x, y, batch_size=16, epochs=5, verbose=0)
    assert model.evaluate(x, y, verbose=0) < 0.6 * first


def test_a_sweep_stops_when_training_breaks() -> None:
    x, y = make_data()
    found = find_lr(make(), x, y, high=1e4, steps=40, method="sweep", progress=False)
    assert found.stopped == "diverged"
    assert len(found.rates) < 40


def test_a_second_search_gives_the_same_curve() -> None:
    x, y = make_data()
    model = make("adam")
    first = find_lr(model, x, y, steps=12, progress=False)
    assert find_lr(model, x, y, steps=12, progress=False) == first


def test_a_train_step_of_ones_own_is_searched_with() -> None:
    class Doubled(keras.Model):
        """A model whose loss is twice what was compiled."""

        def compute_loss(self, *args: Any, **kwargs: Any) -> Any:
            return 2.0 * super().compute_loss(*args, **kwargs)

    x, y = make_data()
    plain = make_network()
    model = Doubled(plain.inputs, plain.outputs)
    losses = []
    for trained in (plain, model):
        trained.compile(keras.optimizers.SGD(), loss=loss())
        options = {"shuffle": False, "low": 1e-9, "high": 1e-8, "steps": 10} | SWEEP
        losses.append(find_lr(trained, x, y, **options).losses)
    np.testing.assert_allclose(losses[1], 2 * np.array(losses[0]), rtol=1e-5)


def test_the_step_is_compiled_once() -> None:
    traces = []

    class Counting(keras.Model):
        """A model that counts how often its step is read."""

        def train_step(self, *args: Any) -> Any:
            traces.append(1)
            return super().train_step(*args)

    x, y = make_data()
    plain = make_network()
    model = Counting(plain.inputs, plain.outputs)
    model.compile("adam", loss=loss())
    found = find_lr(model, x, y, batch_size=16, steps=12, progress=False)
    if keras.backend.backend() == "torch":
        assert len(traces) == found.updates
        return
    assert len(traces) == 1
    if keras.backend.backend() == "jax":  # what was compiled for the search serves for training
        model.fit(x, y, batch_size=16, verbose=0)
        assert len(traces) == 1


# -- optimizers ---------------------------------------------------------------------------------


def test_every_group_keeps_its_multiplier() -> None:
    x, y = make_data()
    rules = {"low": 0.1, "high": 2.0}
    model = make(LRMultiplier("sgd", rules))
    options = {"batch_size": 16, "shuffle": False, "steps": 12, "high": 1.0} | SWEEP
    found = find_lr(model, x, y, **options)
    expected = by_hand(make(LRMultiplier("sgd", rules)), found.rates, in_batches(x, y))
    np.testing.assert_allclose(found.losses, expected, rtol=1e-6, atol=1e-6)
    assert sorted(found.group_factors.values()) == [0.1, 1.0, 2.0]
    assert found.group_factors["low"] == 0.1
    if found.suggestion is not None:
        assert found.group_rates["high"] == pytest.approx(2 * found.suggestion)


def scheduled_by_keras() -> Any:
    return keras.optimizers.SGD(keras.optimizers.schedules.CosineDecay(0.5, 10))


def scheduled_by_layerwise() -> Any:
    return keras.optimizers.SGD(LearningRateSchedule((warmup(20) >> cosine(80)) * 0.1))


def scheduled_by_a_function() -> Any:
    return keras.optimizers.SGD(lambda: 0.3)


def scheduled_inside() -> Any:
    return LRMultiplier(keras.optimizers.SGD(0.5), schedule=warmup(50) >> cosine(50))


def scheduled_twice() -> Any:
    return LRMultiplier(scheduled_by_keras(), {"low": 0.5}, schedule=warmup(50) >> cosine(50))


@pytest.mark.parametrize(
    "scheduled",
    [
        scheduled_by_keras,
        scheduled_by_layerwise,
        scheduled_by_a_function,
        scheduled_inside,
        scheduled_twice,
    ],
)
def test_a_schedule_is_lifted_and_put_back(scheduled: Any) -> None:
    x, y = make_data()
    rules = {"low": 0.5} if scheduled is scheduled_twice else None
    options = {"batch_size": 16, "shuffle": False, "steps": 10, "high": 1.0} | SWEEP
    plain = find_lr(make(LRMultiplier("sgd", rules)), x, y, **options)
    model = make(scheduled())
    found = find_lr(model, x, y, **options)
    np.testing.assert_allclose(found.losses, plain.losses, rtol=1e-5)
    model.fit(x, y, batch_size=16, verbose=0)
    other = make(scheduled())
    other.fit(x, y, batch_size=16, verbose=0)
    for mine, theirs in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_a_point_is_an_applied_update_under_accumulation() -> None:
    x, y = make_data()
    micro = make(keras.optimizers.SGD(gradient_accumulation_steps=2), loss=loss())
    options = {"shuffle": False, "steps": 10, "high": 1.0} | SWEEP
    found = find_lr(micro, x, y, batch_size=8, **options)
    whole = find_lr(make(keras.optimizers.SGD()), x, y, batch_size=16, **options)
    assert found.rates == whole.rates
    np.testing.assert_allclose(found.losses, whole.losses, rtol=1e-4)


def test_an_unfinished_update_is_kept_for_later() -> None:
    x, y = make_data()
    optimizer = keras.optimizers.SGD(gradient_accumulation_steps=3)
    model = make(optimizer)
    model.train_on_batch(x[:8], y[:8])
    sums = [np.array(v) for v in optimizer._accumulated_gradients]
    options = {"batch_size": 8, "shuffle": False, "steps": 10, "high": 1.0} | SWEEP
    found = find_lr(model, x, y, **options)
    unstarted = make(keras.optimizers.SGD(gradient_accumulation_steps=3))
    assert found.losses == find_lr(unstarted, x, y, **options).losses
    for before, variable in zip(sums, optimizer._accumulated_gradients, strict=True):
        np.testing.assert_array_equal(before, np.array(variable))
    assert int(keras.ops.convert_to_numpy(optimizer._iterations)) == 1


def test_a_skipped_update_is_trained_again() -> None:
    x, y = make_data()
    scaled = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(), initial_scale=2.0**127)
    options = {"batch_size": 16, "shuffle": False, "steps": 10, "high": 1.0} | SWEEP
    found = find_lr(make(scaled), x * 100, y, **options)
    plain = find_lr(make(keras.optimizers.SGD()), x * 100, y, **options)
    np.testing.assert_allclose(found.losses, plain.losses, rtol=1e-4)


def test_an_update_that_is_never_applied_is_nan() -> None:
    x, y = make_data()
    x[:, 0] = np.nan
    scaled = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD())
    found = find_lr(make(scaled), x, y, steps=10, progress=False)
    assert np.isnan(found.losses).all()
    assert found.suggestion is None


def test_a_process_without_any_seed_can_search() -> None:
    """TensorFlow has a part of its random state only once a seed was set."""
    code = """
import keras, numpy
from layerwise.keras import find_lr
x = numpy.random.default_rng(0).normal(size=(64, 4)).astype("float32")
model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
model.compile("sgd", loss="mse")
print(find_lr(model, x, x[:, :1], steps=20, progress=False).stopped)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() in ("diverged", "reached the upper rate")
