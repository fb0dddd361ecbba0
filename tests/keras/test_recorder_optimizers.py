"""What is recorded is what was trained: steps, rates and the plan, however the model is trained."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

from layerwise import linear
from layerwise.keras import LearningRateSchedule, LRMultiplier, Recorder
from layerwise.recorder import History, RecorderWarning
from tests._support.keras.networks import loss, make_data, make_network
from tests._support.keras.variables import arrays

BACKEND = keras.backend.backend()
X, Y = make_data(32)
keras_only = pytest.mark.skipif(BACKEND == "jax", reason="on JAX fit() knows one optimizer")


class Two(keras.Model):
    """Two parts with an optimizer each; compile() makes a third that is never used."""

    def __init__(self, first: Any, second: Any, times: int = 1) -> None:
        super().__init__()
        self.a, self.b = keras.layers.Dense(1, name="a"), keras.layers.Dense(1, name="b")
        self.a.build((None, 6))
        self.b.build((None, 6))
        self.built = True
        self.first_optimizer, self.holder = first, {"second": second}
        self.times = times

    def call(self, x: Any) -> Any:
        return self.a(x) + self.b(x)

    def train_step(self, data: Any) -> Any:
        x = data[0]
        for _ in range(self.times):
            value = self.step_of(self.a, self.first_optimizer, x)
        other = self.step_of(self.b, self.holder["second"], x)
        return {"loss": value + other}

    def step_of(self, layer: Any, optimizer: Any, x: Any) -> Any:
        weights = layer.trainable_variables
        if BACKEND == "tensorflow":
            import tensorflow as tf

            with tf.GradientTape() as tape:
                value = ops.mean(ops.square(layer(x)))
            optimizer.apply_gradients(zip(tape.gradient(value, weights), weights, strict=True))
            return value
        self.zero_grad()
        value = ops.mean(ops.square(layer(x)))
        value.backward()
        optimizer.apply([w.value.grad for w in weights], weights)
        return value.detach()


def trained(model: Any, run: Path, fits: int = 1, **options: Any) -> History:
    for _ in range(fits):
        with pytest.warns(RecorderWarning, match="does not update Keras' own loss tracker"):
            model.fit(X, Y, batch_size=8, verbose=0, callbacks=[Recorder(run)], **options)
    return History.load(run)


@keras_only
def test_a_model_with_two_optimizers_and_one_that_is_not_used(tmp_path: Path) -> None:
    """Steps go on over epochs and fits, and the rates are those of the two that train."""
    schedule = keras.optimizers.schedules.ExponentialDecay(0.5, 4, 0.5)
    model = Two(keras.optimizers.SGD(0.125), keras.optimizers.SGD(schedule))
    model.compile()
    batch = trained(model, tmp_path, fits=2, epochs=2).batch
    assert batch["step"].tolist() == list(range(16))
    assert batch["rate"].tolist() == [0.125] * 16
    assert sorted(name for name in batch if name.startswith("rates/")) == [
        "rates/first_optimizer",
        "rates/holder/second",
    ]
    expected = [float(ops.convert_to_numpy(schedule(step))) for step in range(16)]
    np.testing.assert_allclose(batch["rates/holder/second"], expected, rtol=1e-6)


@keras_only
def test_the_groups_of_several_multiplied_optimizers(tmp_path: Path) -> None:
    first = LRMultiplier(keras.optimizers.SGD(0.5), {"a/kernel": 0.5}, schedule=linear(16))
    model = Two(first, keras.optimizers.SGD(0.25))
    model.compile()
    batch = trained(model, tmp_path, epochs=2).batch
    left = 1 - np.arange(8) / 16
    np.testing.assert_allclose(batch["rates/first_optimizer/a/kernel"], 0.25 * left, rtol=1e-6)
    np.testing.assert_allclose(batch["rates/first_optimizer/default"], 0.5 * left, rtol=1e-6)
    assert batch["rates/holder/second"].tolist() == [0.25] * 8


@keras_only
def test_an_optimizer_that_counts_more_often(tmp_path: Path) -> None:
    """A critic that is trained three times a batch: the step is its count of updates."""
    model = Two(keras.optimizers.SGD(0.125), keras.optimizers.SGD(0.25), times=3)
    model.compile()
    batch = trained(model, tmp_path, epochs=2).batch
    assert batch["step"].tolist() == list(range(0, 24, 3))


@keras_only
def test_a_rate_that_is_set_in_between(tmp_path: Path) -> None:
    class Halves(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.model.first_optimizer.learning_rate = 0.0625

    model = Two(keras.optimizers.SGD(0.125), keras.optimizers.SGD(0.25))
    model.compile()
    used = [Halves(), Recorder(tmp_path)]
    with pytest.warns(RecorderWarning):
        model.fit(X, Y, batch_size=8, epochs=2, verbose=0, callbacks=used)
    batch = History.load(tmp_path).batch
    assert batch["rates/first_optimizer"].tolist() == [0.125] * 4 + [0.0625] * 4


def test_a_model_whose_optimizer_never_counts(tmp_path: Path) -> None:
    """The epochs are recorded one after the other, not one over the other."""

    class Still(keras.Model):
        """Trains with nothing that Keras knows."""

        def train_step(self, *arguments: Any) -> Any:
            logs = {"loss": ops.sum(ops.zeros((1,)))}
            return (logs, arguments[0]) if len(arguments) == 2 else logs

    plain = make_network()
    model = Still(plain.inputs, plain.outputs)
    model.compile("sgd", loss=loss())
    batch = trained(model, tmp_path, epochs=3).batch
    assert batch["step"].tolist() == list(range(12))


# -- the plan --------------------------------------------------------------------------------------


def steps_in_plan(run: Path) -> int:
    return int(json.loads((run / "plan.json").read_text())["steps"][-1])


@pytest.mark.parametrize("accumulated", [None, 4])
def test_the_plan_is_as_long_as_the_training_is_in_updates(
    tmp_path: Path, accumulated: int | None
) -> None:
    model = make_network()
    sgd = keras.optimizers.SGD(0.1, gradient_accumulation_steps=accumulated)
    model.compile(LRMultiplier(sgd, {"low": 0.5}, schedule=linear(1000)), loss=loss())
    per_update, ends = accumulated or 1, []
    for epochs, initial in ((2, 0), (2, 0), (6, 4)):
        with Recorder(tmp_path) as recorder:
            model.fit(
                *(X, Y),
                batch_size=2,
                epochs=epochs,
                initial_epoch=initial,
                verbose=0,
                callbacks=[recorder],
            )
        ends.append(steps_in_plan(tmp_path))
    assert ends == [32 // per_update, 64 // per_update, 96 // per_update]
    assert History.load(tmp_path).batch["step"].tolist() == [b // per_update for b in range(96)]


# -- executions, skipped updates -------------------------------------------------------------------


@pytest.mark.skipif(BACKEND == "torch", reason="PyTorch has one step an execution")
@pytest.mark.parametrize("accumulated", [None, 2])
def test_a_row_for_each_execution_has_the_step_of_its_last_batch(
    tmp_path: Path, accumulated: int | None
) -> None:
    model = make_network()
    sgd = keras.optimizers.SGD(0.1, gradient_accumulation_steps=accumulated)
    optimizer = LRMultiplier(sgd, {"low": linear(40, start=1.0, end=2.0)})
    model.compile(optimizer, loss=loss(), steps_per_execution=3)
    for _ in range(2):
        model.fit(X, Y, batch_size=4, verbose=0, callbacks=[Recorder(tmp_path)])
    batch = History.load(tmp_path).batch
    last = np.array([2, 5, 7, 10, 13, 15])  # the last execution of eight batches has two
    assert batch["step"].tolist() == (last // (accumulated or 1)).tolist()
    np.testing.assert_allclose(batch["rates/low"], 0.1 * (1 + batch["step"] / 40), rtol=1e-6)


@pytest.fixture
def float16() -> Iterator[None]:
    keras.mixed_precision.set_dtype_policy("mixed_float16")
    yield
    keras.mixed_precision.set_dtype_policy("float32")


@pytest.mark.usefixtures("float16")
def test_an_update_that_is_skipped_has_the_step_of_the_next(tmp_path: Path) -> None:
    model = make_network()
    optimizer = LRMultiplier(keras.optimizers.SGD(0.1), schedule=linear(100))
    model.compile(optimizer, loss=loss())
    x = X.copy()
    x[8:16] = np.inf
    with Recorder(tmp_path) as recorder:
        options = {"shuffle": False, "verbose": 0, "callbacks": [recorder]}
        model.fit(x, Y, batch_size=8, epochs=2, **options)
    batch = History.load(tmp_path).batch
    # The rows of one step follow each other; the update that was applied is the last of them.
    assert int(model.optimizer.inner_optimizer.iterations) == 6
    assert sorted(set(batch["step"])) == list(range(6))
    np.testing.assert_allclose(batch["rates/default"], 0.1 * (1 - batch["step"] / 100), rtol=1e-6)


def test_ratios_of_complex_weights(tmp_path: Path) -> None:
    class Turn(keras.layers.Layer):
        """Multiplies with complex numbers."""

        def build(self, shape: Any) -> None:
            self.factor = self.add_weight(
                shape=(6,), dtype="complex64", initializer="zeros", name="factor", autocast=False
            )
            self.factor.assign(np.full(6, 1 + 2j, "complex64"))

        def call(self, x: Any) -> Any:
            return ops.real(self.factor * ops.cast(x, "complex64"))

    layers = [Turn(name="turn"), keras.layers.Dense(3, name="head")]
    model = keras.Sequential([keras.Input((6,)), *layers])
    model.compile(LRMultiplier(keras.optimizers.SGD(0.1), {"head": 0.5}), loss=loss())
    before = arrays(model.weights)[0]
    model.fit(X, Y, batch_size=32, verbose=0, callbacks=[Recorder(tmp_path, ratios=1)])
    moved = np.linalg.norm(arrays(model.weights)[0] - before) / np.linalg.norm(before)
    found = History.load(tmp_path).ratios
    np.testing.assert_allclose(found["turn"], [moved], rtol=1e-5)
    assert moved > 0


def test_a_layerwise_schedule_counts_batches_in_a_plain_optimizer(tmp_path: Path) -> None:
    rate = LearningRateSchedule(linear(8, start=0.5, end=0.1))
    model = make_network()
    model.compile(keras.optimizers.SGD(rate), loss=loss())
    model.fit(X, Y, batch_size=8, epochs=2, verbose=0, callbacks=[Recorder(tmp_path)])
    batch = History.load(tmp_path).batch
    np.testing.assert_allclose(batch["rate"], 0.5 - 0.05 * np.arange(8), rtol=1e-6)
