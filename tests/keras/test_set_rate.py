"""Callbacks that set the base rate: by a schedule inside the step, or by a number before it."""

import json
import math
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import callbacks, ops

from layerwise import cyclic, linear
from layerwise.errors import OptimizerError, RecorderError, ScheduleError
from layerwise.keras import LRMultiplier, Recorder
from layerwise.keras.callbacks import CircularLR, LRUpdater, PerformanceLogger
from layerwise.recorder import History

X = np.ones((32, 1), "float32")


class Given(LRUpdater):
    """Returns what it was made with."""

    def __init__(self, rate: Any) -> None:
        super().__init__()
        self.rate = rate

    def update_lr(self) -> Any:
        return self.rate


class Falling(LRUpdater):
    """A number for each batch."""

    def update_lr(self) -> float:
        return 0.5 / (1 + self.step) + 0.25 * self.epoch


class Biases(callbacks.Callback):
    """The bias before each batch, and after the last."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[float] = []

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self.seen.append(float(ops.convert_to_numpy(self.model.layers[-1].bias)[0]))

    on_train_end = lambda self, logs=None: self.on_train_batch_begin(0)  # noqa: E731


def model_with(optimizer: Any, **options: Any) -> Any:
    """The gradient of the bias is 1, so SGD moves it by the rate."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, name="line")])
    model.compile(optimizer, loss=lambda y, p: ops.mean(p), **options)
    return model


def rates_of(updater: LRUpdater | CircularLR, optimizer: Any = None, epochs: int = 2) -> np.ndarray:
    """The rates that the weights moved by; checked against the updater's own history."""
    model, biases = model_with(optimizer or keras.optimizers.SGD(1.0)), Biases()
    model.fit(X, X, batch_size=8, epochs=epochs, verbose=0, callbacks=[biases, updater])
    moved = -np.diff(biases.seen)
    np.testing.assert_allclose(updater.batch_history["lrs"], moved, rtol=1e-4)
    rate = float(ops.convert_to_numpy(model.optimizer.learning_rate))
    assert rate == pytest.approx(updater.batch_history["lrs"][-1], rel=1e-6)
    return moved


def test_a_number_for_each_batch() -> None:
    expected = [0.5 / (1 + t) + 0.25 * (t >= 4) for t in range(8)]
    np.testing.assert_allclose(rates_of(Falling()), expected, rtol=1e-5)


@pytest.mark.parametrize(
    "rate", [linear(10, start=0.5, end=0.1), lambda t: 0.5 - 0.04 * t], ids=["schedule", "function"]
)
def test_a_schedule_is_refused_with_the_way_to_use_it(rate: Any) -> None:
    with pytest.raises(ScheduleError, match=r"must return a number.*LearningRateSchedule"):
        rates_of(Given(rate))


def test_the_weights_move_so_when_nobody_looks_at_them() -> None:
    """Reading weights makes Keras sync them on JAX; without that the rates are the same."""
    for updater in (Falling(), CircularLR(8, 0.1, 0.5)):
        model = model_with(keras.optimizers.SGD(1.0))
        model.fit(X, X, batch_size=8, epochs=2, verbose=0, callbacks=[updater])
        bias = float(ops.convert_to_numpy(model.layers[-1].bias)[0])
        assert bias == pytest.approx(-sum(updater.batch_history["lrs"]), rel=1e-5)


def test_under_multipliers_it_is_the_base() -> None:
    model = model_with(LRMultiplier(keras.optimizers.SGD(1.0), {"line": 0.5}))
    for updater in (Falling(), CircularLR(8, 0.1, 0.5)):
        biases = Biases()
        model.fit(X, X, batch_size=8, verbose=0, callbacks=[updater, biases])
        moved = -np.diff(biases.seen)
        np.testing.assert_allclose(0.5 * np.array(updater.batch_history["lrs"]), moved, rtol=1e-4)


@pytest.mark.parametrize("name", ["number", "cycle"])
def test_steps_are_updates_under_accumulation(name: str) -> None:
    updater = Falling() if name == "number" else CircularLR(2, 0.125, 0.375)
    model = model_with(keras.optimizers.SGD(1.0, gradient_accumulation_steps=2))
    model.fit(X, X, batch_size=8, verbose=0, callbacks=[updater])
    expected = [0.5, 0.5, 0.25, 0.25] if name == "number" else [0.125, 0.125, 0.25, 0.25]
    np.testing.assert_allclose(updater.batch_history["lrs"], expected, rtol=1e-6)


def test_an_optimizer_that_is_built_meanwhile_knows_its_slots() -> None:
    # On TensorFlow it is built inside the step, where the callback's rate has taken its place.
    rules = {"line": lambda step: ops.where(step < 3, 0.5, 0.0)}
    clr = CircularLR(2, 0.125, 0.375)
    called = model_with(LRMultiplier(keras.optimizers.SGD(0.3, momentum=0.9), rules))
    called.fit(X, X, batch_size=4, verbose=0, callbacks=[clr])
    schedule = cyclic(2, 0.125, 0.375)
    scheduled = model_with(
        LRMultiplier(keras.optimizers.SGD(1.0, momentum=0.9), rules, schedule=schedule)
    )
    scheduled.fit(X, X, batch_size=4, verbose=0)
    weights = [ops.convert_to_numpy(model.layers[-1].bias) for model in (called, scheduled)]
    ours, theirs = (float(bias[0]) for bias in weights)
    assert ours == pytest.approx(theirs, rel=1e-6)  # the factors are multiplied in another order
    assert ours != 0.0


def test_more_batches_an_execution_move_by_the_schedule() -> None:
    if keras.backend.backend() == "torch":
        pytest.skip("Keras on Torch has one batch an execution")
    model = model_with(keras.optimizers.SGD(1.0), steps_per_execution=4)
    biases = Biases()
    updater = CircularLR(8, 0.1, 0.5)
    model.fit(X, X, batch_size=8, verbose=0, callbacks=[updater, biases])
    assert -np.diff(biases.seen) == pytest.approx([0.1 + 0.15 + 0.2 + 0.25], rel=1e-5)
    assert updater.batch_history["lrs"] == pytest.approx([0.25])


def test_it_sees_what_was_and_what_others_set() -> None:
    class Careful(LRUpdater):
        """Halves when the loss rose."""

        def update_lr(self) -> float:
            losses = self.batch_history.get("loss", [])
            assert len(losses) == self.step
            return self.lr / 2 if len(losses) > 1 and losses[-1] < losses[-2] else self.lr

    careful = Careful()
    rates = rates_of(careful, epochs=1)
    np.testing.assert_allclose(rates, [1.0, 1.0, 0.5, 0.25], rtol=1e-5)


def test_a_recorder_beside_it_has_the_same_rates(tmp_path: Path) -> None:
    for number, updater in enumerate([Falling(), CircularLR(2, 0.1, 0.5)]):
        run = tmp_path / str(number)
        model = model_with(keras.optimizers.SGD(1.0))
        model.fit(X, X, batch_size=8, verbose=0, callbacks=[Recorder(run), updater])
        assert History.load(run).batch["rate"].tolist() == updater.batch_history["lrs"]


def test_circular_lr_is_the_cyclic_schedule() -> None:
    fixed = CircularLR(3, 0.125, 0.5)
    np.testing.assert_allclose(rates_of(fixed), cyclic(3, 0.125, 0.5)(np.arange(8)), rtol=1e-5)
    falling = CircularLR(1, 0.125, 0.5, decay=0.5, decay_type="exp", decay_freq=2)
    expected = [0.125, 0.5, 0.125, 0.5, 0.125, 0.25, 0.125, 0.25, 0.125, 0.125, 0.125, 0.125]
    np.testing.assert_allclose(rates_of(falling, epochs=3), expected, rtol=1e-5)


def test_it_goes_on_in_the_middle_of_a_cycle() -> None:
    model = model_with(keras.optimizers.SGD(1.0))
    lrs = []
    for _ in range(2):
        clr = CircularLR(3, 0.125, 0.5)
        model.fit(X, X, batch_size=8, verbose=0, callbacks=[clr])
        lrs += clr.batch_history["lrs"]
    np.testing.assert_allclose(lrs, cyclic(3, 0.125, 0.5)(np.arange(8)), rtol=1e-5)


def test_histories_are_saved_and_loaded(tmp_path: Path) -> None:
    model, logger = model_with("sgd", metrics=["mae"]), PerformanceLogger()
    model.fit(X, X, batch_size=8, verbose=0, validation_data=(X, X), callbacks=[logger])
    logger.save(tmp_path / "log.json")
    again = PerformanceLogger()
    again.load(tmp_path / "log.json")
    assert again.batch_history == logger.batch_history
    assert again.epoch_history == logger.epoch_history
    assert set(again.batch_history) == {"lrs", "loss", "mae"}
    assert set(again.epoch_history) == {"lrs", "loss", "mae", "val_loss", "val_mae"}
    model.fit(X, X, batch_size=8, verbose=0, callbacks=[again])
    assert len(again.batch_history["loss"]) == 8
    assert math.isnan(again.epoch_history["val_loss"][-1])


@pytest.mark.parametrize("text", ["no json", "[]", json.dumps({"layerwise": "performance"})])
def test_another_file_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "log.json"
    path.write_text(text)
    with pytest.raises(RecorderError):
        PerformanceLogger().load(path)


@pytest.mark.parametrize("rate", [-1.0, math.nan, "fast", lambda t: -1.0])
def test_what_is_no_rate_is_refused(rate: Any) -> None:
    with pytest.raises(ScheduleError):
        rates_of(Given(rate))


def test_refusals() -> None:
    scheduled = keras.optimizers.SGD(keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.5))
    with pytest.raises(OptimizerError, match="schedule"):
        rates_of(Falling(), scheduled)
    model = model_with("sgd")
    with pytest.raises(OptimizerError, match="Two callbacks"):
        model.fit(X, X, verbose=0, callbacks=[Falling(), Falling()])
    with pytest.raises(ScheduleError, match="decay_type"):
        CircularLR(3, 0.1, 0.5, decay=0.5, decay_type="linear")
    with pytest.raises(ScheduleError):
        CircularLR(3, 0.5, 0.1)
    with pytest.raises(TypeError, match="update_lr"):
        LRUpdater()  # type: ignore[abstract]
