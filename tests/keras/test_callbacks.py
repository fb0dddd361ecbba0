"""Keras' own callbacks drive and save a multiplied optimizer as they do a plain one."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import callbacks

from layerwise import cosine, linear, warmup
from layerwise.keras import LRMultiplier, Recorder
from layerwise.keras._callbacks.batch_stream import stream_of
from layerwise.keras.callbacks import PerformanceLogger
from layerwise.recorder import History
from tests._support.keras.networks import fit, loss, make_data, make_network
from tests._support.keras.optimizers import make
from tests._support.keras.variables import arrays, bits

RULES = {"low": 0.25, "high": 2.0}


class Rates(callbacks.Callback):
    """Every batch: the rates for the next update, and the weights."""

    def __init__(self) -> None:
        super().__init__()
        self.rates: list[dict[str, float]] = []
        self.base: list[float] = []
        self.weights: list[list[np.ndarray]] = []

    def on_train_begin(self, logs: Any = None) -> None:
        # TensorFlow would build it within the first step.
        self.model.optimizer.build(self.model.trainable_variables)

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self.rates.append(self.model.optimizer.learning_rates())
        self.base.append(float(self.model.optimizer.learning_rate))
        self.weights.append(arrays(self.model.trainable_variables))

    def on_train_end(self, logs: Any = None) -> None:
        self.weights.append(arrays(self.model.trainable_variables))


def test_plateau_schedule_and_multipliers_compose() -> None:
    """SGD moves each weight by rate x gradient, so two runs give each weight's own rate."""
    schedule = warmup(4) >> cosine(40, end=0.1)
    rules = {"low": 0.25, "middle": linear(20, start=1.0, end=3.0), "high": 2.0}
    plateau = callbacks.ReduceLROnPlateau(
        monitor="loss", factor=0.5, patience=1, min_delta=10.0, cooldown=0
    )
    seen = Rates()
    model = make_network()
    optimizer = LRMultiplier(keras.optimizers.SGD(0.1), rules, schedule=schedule)
    fit(model, optimizer, epochs=4, callbacks=[plateau, seen])
    assert len(seen.rates) == 32
    assert len(set(seen.base)) >= 3  # the plateau really drove the base down
    multipliers = [rules[v.path.split("/")[0]] for v in model.trainable_variables]
    for step, (rates, base) in enumerate(zip(seen.rates, seen.base, strict=True)):
        expected = [
            base * schedule(step) * (m if isinstance(m, float) else m(step)) for m in multipliers
        ]
        np.testing.assert_allclose(list(rates.values()), expected, rtol=1e-6)
        _confirm_from_weights(seen.weights[step], seen.weights[step + 1], expected, step)


def _confirm_from_weights(
    before: list[np.ndarray], after: list[np.ndarray], rates: list[float], step: int
) -> None:
    """One plain SGD step at rate 1 from the same weights gives the gradient, without us."""
    model = make_network()
    for variable, value in zip(model.trainable_variables, before, strict=True):
        variable.assign(value)
    x, y = make_data()
    batch = slice(8 * (step % 8), 8 * (step % 8) + 8)
    model.compile(keras.optimizers.SGD(1.0), loss=loss(), run_eagerly=True)
    model.train_on_batch(x[batch], y[batch])
    for old, new, moved, rate in zip(
        before, after, arrays(model.trainable_variables), rates, strict=True
    ):
        # Differences of float32 weights of order one: 1e-7 of each, whatever the rate.
        np.testing.assert_allclose(new - old, rate * (moved - old), rtol=1e-4, atol=3e-7)


def test_learning_rate_scheduler_drives_the_base() -> None:
    seen = Rates()
    model = make_network()
    scheduler = callbacks.LearningRateScheduler(lambda epoch, rate: 0.1 * 0.5**epoch)
    fit(model, LRMultiplier("sgd", RULES), epochs=3, callbacks=[scheduler, seen])
    by_epoch = [seen.rates[8 * epoch] for epoch in range(3)]
    for epoch, rates in enumerate(by_epoch):
        base = 0.1 * 0.5**epoch
        expected = [0.25 * base] * 2 + [base] * 2 + [2 * base] * 2
        np.testing.assert_allclose(list(rates.values()), expected, rtol=1e-6)


@pytest.mark.parametrize("name", ["adam", "nadam"])
def test_backup_and_restore_resumes_an_interrupted_run(name: str, tmp_path: Path) -> None:
    class Interrupt(callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            if epoch == 2:
                raise RuntimeError("interrupted")

    def optimizer() -> Any:
        return LRMultiplier(make(name), RULES, schedule=warmup(6) >> cosine(26))

    backup = tmp_path / "backup"
    whole, resumed = make_network(), make_network()
    fit(whole, optimizer(), epochs=4)
    with pytest.raises(RuntimeError, match="interrupted"):
        fit(
            make_network(),
            optimizer(),
            epochs=4,
            callbacks=[callbacks.BackupAndRestore(backup), Interrupt()],
        )
    fit(resumed, optimizer(), epochs=4, callbacks=[callbacks.BackupAndRestore(backup)])
    assert bits(resumed.weights) == bits(whole.weights)
    assert bits(resumed.optimizer.variables) == bits(whole.optimizer.variables)


def test_checkpoint_and_early_stopping(tmp_path: Path) -> None:
    path = tmp_path / "best.keras"
    model = make_network()
    history = fit(
        model,
        LRMultiplier("adam", RULES),
        epochs=9,
        callbacks=[
            callbacks.ModelCheckpoint(path, monitor="loss", save_best_only=True),
            callbacks.EarlyStopping(
                monitor="loss", patience=1, min_delta=10.0, restore_best_weights=True
            ),
        ],
    )
    assert len(history.history["loss"]) == 2  # a first epoch, then one without progress
    loaded = keras.saving.load_model(path)
    assert isinstance(loaded.optimizer, LRMultiplier)
    assert list(loaded.optimizer.learning_rates().values()) == pytest.approx(
        [0.00025, 0.00025, 0.001, 0.001, 0.002, 0.002]
    )


class TrainsOnItsOwn(callbacks.Callback):
    """Trains on a batch of its own between those of ``fit``."""

    def __init__(self, x: np.ndarray, y: np.ndarray) -> None:
        super().__init__()
        self.data = x, y

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if batch == 1:
            self.model.train_on_batch(*self.data)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.model.train_on_batch(*self.data)


class TrainsBefore(TrainsOnItsOwn):
    """Trains on them before those of ``fit``; Keras has begun the next batch then."""

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        if batch == 2:
            self.model.train_on_batch(*self.data)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        pass


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("kind", [TrainsOnItsOwn, TrainsBefore])
def test_batches_are_recorded_beside_those_that_a_callback_trains_on(
    kind: type[TrainsOnItsOwn], last: bool, tmp_path: Path
) -> None:
    x, y = make_data(24)
    weights = []
    for watching in ([], [Recorder(tmp_path), PerformanceLogger()]):
        model = make_network()
        model.compile(LRMultiplier("adam", {"high": linear(20)}), loss=loss())
        own = kind(x[:4], y[:4])
        given = [*watching, own] if last else [own, *watching]
        model.fit(x, y, batch_size=8, epochs=2, shuffle=False, verbose=0, callbacks=given)
        weights.append(bits(model.weights))
        assert stream_of(model.train_function) is None
    assert weights[0] == weights[1]
    batch = History.load(tmp_path).batch
    assert batch["step"].tolist() == [0, 1, 3, 5, 6, 8]  # 2, 4, 7 and 9 are the callback's
    expected = [1e-3 * linear(20)(step) for step in (0, 1, 3, 5, 6, 8)]
    np.testing.assert_allclose(batch["rates/high"], expected, rtol=1e-6)
    assert watching[1].batch_history["loss"] == batch["loss"].tolist()
