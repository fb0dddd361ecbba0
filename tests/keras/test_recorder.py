"""The recorder writes each batch's own values and the rates used, and leaves no trace."""

import itertools
import re
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import callbacks, ops

from layerwise import cosine, layer_decay, linear, warmup
from layerwise.errors import RecorderError
from layerwise.keras import LearningRateSchedule, LRMultiplier, Recorder
from layerwise.keras._callbacks.batch_stream import open_stream, stream_of
from layerwise.keras._internals.trainer import METRICS, TRACKER
from layerwise.recorder import History, RecorderWarning
from tests._support.keras.networks import fit, loss, make_data, make_network
from tests._support.keras.variables import arrays, bits

RULES = {"low": 0.25, "high": linear(40, start=1.0, end=3.0)}


def line(rate: float = 0.01, **options: Any) -> Any:
    """Two weights, and a gradient that NumPy knows."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, name="line")])
    model.compile(options.pop("optimizer", keras.optimizers.SGD(rate)), loss="mse", **options)
    return model


def points(samples: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(2)
    x = rng.normal(size=(samples, 1)).astype("float32")
    return x, (3 * x + 5 + rng.normal(size=(samples, 1))).astype("float32")


def losses_by_hand(model: Any, x: np.ndarray, y: np.ndarray, rate: float, size: int) -> np.ndarray:
    """The loss of each batch before its update, in float64."""
    w, b = (float(v.squeeze()) for v in arrays(model.weights))
    found = []
    for start in range(0, len(x), size):
        inputs, targets = (a[start : start + size, 0].astype("float64") for a in (x, y))
        error = w * inputs + b - targets
        found.append(np.mean(error**2))
        w -= rate * np.mean(2 * error * inputs)
        b -= rate * np.mean(2 * error)
    return np.array(found)


def test_the_losses_are_the_batches_own_to_the_end_of_a_long_epoch(tmp_path: Path) -> None:
    x, y = points(20_002)
    y += np.sign(y - 3 * x - 5)  # no loss near 0, where float32 weights differ from float64's
    model = line()
    model.set_weights([np.array([[3.0]]), np.array([5.0])])
    expected = losses_by_hand(model, x, y, 0.01, 2)
    model.fit(x, y, batch_size=2, shuffle=False, verbose=0, callbacks=[Recorder(tmp_path)])
    batch = History.load(tmp_path).batch
    np.testing.assert_array_equal(batch["step"], np.arange(10_001))
    np.testing.assert_allclose(batch["loss"], expected, rtol=1e-5)


class Ends(callbacks.Callback):
    """What other callbacks see of the epochs.

    It hears of batches, too, so that Keras calls the callbacks in this thread. If none did, the
    progress bar could hear of batches in another order.
    """

    def __init__(self) -> None:
        super().__init__()
        self.logs: list[dict[str, float]] = []

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        assert logs

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.logs.append(dict(logs))


def metrics() -> list[Any]:
    return [
        keras.metrics.SparseCategoricalAccuracy(name="accuracy"),
        keras.metrics.SparseTopKCategoricalAccuracy(2, name="top"),
        Largest(name="largest"),
    ]


class Largest(keras.metrics.Metric):
    """A metric that does not add up."""

    def __init__(self, name: str) -> None:
        super().__init__(name=name)
        self.largest = self.add_variable((), "zeros", name="largest")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        self.largest.assign(ops.maximum(self.largest, ops.max(y_pred)))

    def result(self) -> Any:
        return ops.convert_to_tensor(self.largest)


def trained(
    tmp_path: Path | None, capsys: Any, verbose: int, **options: Any
) -> tuple[Any, Any, str]:
    model, ends = make_network(), Ends()
    model.compile(LRMultiplier("adam", RULES), loss=loss(), metrics=metrics(), **options)
    x, y = make_data(30)
    extra = [] if tmp_path is None else [Recorder(tmp_path, ratios=3)]
    capsys.readouterr()
    model.fit(
        *(x, y),
        batch_size=10,
        epochs=2,
        shuffle=False,
        verbose=verbose,
        validation_data=(x[:16], y[:16]),
        callbacks=[*extra, ends],
    )
    text = re.sub(r"\x1b\[\d*[A-Za-z]|\x08|\r", "", capsys.readouterr().out)
    return model, ends.logs, re.sub(r"\d+[mu]?s(/step)?", "", text)


@pytest.mark.parametrize(("eagerly", "verbose"), [(False, 1), (True, 2)])
def test_training_is_the_same_to_the_bit(
    tmp_path: Path, capsys: Any, eagerly: bool, verbose: int
) -> None:
    plain, plain_logs, plain_text = trained(None, capsys, verbose, run_eagerly=eagerly)
    model, logs, text = trained(tmp_path, capsys, verbose, run_eagerly=eagerly)
    assert bits(model.weights) == bits(plain.weights)
    assert bits(model.optimizer.variables) == bits(plain.optimizer.variables)
    assert logs == plain_logs
    # How often a bar is drawn hangs on the clock; how an epoch ends does not.
    assert text.splitlines()[-1].split("3/3")[-1] == plain_text.splitlines()[-1].split("3/3")[-1]
    assert re.search(r"accuracy: .*val_top: \S+$", text.splitlines()[-1].strip())
    assert "layerwise" not in text
    epoch = History.load(tmp_path).epoch
    for name, values in epoch.items():
        if name in logs[0]:
            assert values.tolist() == [row[name] for row in logs]


def test_nothing_stays_behind_in_the_model(tmp_path: Path) -> None:
    model = make_network()
    model.compile("sgd", loss=loss(), metrics=metrics())
    x, y = make_data()
    model.fit(x, y, verbose=0)
    before = {name: id(value) for name, value in vars(model).items()}
    for _ in range(2):
        model.fit(x, y, verbose=0, callbacks=[Recorder(tmp_path)])
    after = {name: id(value) for name, value in vars(model).items()}
    changing = {"history", "_jax_state", "_jax_state_synced", "_eval_epoch_iterator"}
    different = {k for k in before | after if before.get(k) != after.get(k)} - changing
    assert different <= {"stop_training", "_losses_override"}
    assert History.load(tmp_path).batch["step"].tolist() == [2, 3, 4, 5]


def test_the_metrics_are_the_batches_own(tmp_path: Path, capsys: Any) -> None:
    trained(tmp_path, capsys, 0)
    batch = History.load(tmp_path).batch
    x, y = make_data(30)
    model = make_network()
    model.compile(LRMultiplier("adam", RULES), loss=loss(), metrics=metrics())
    for row, start in enumerate([0, 10, 20] * 2):
        model.reset_metrics()  # Keras 3.10 goes on with the mean of the batches before
        expected = model.train_on_batch(
            x[start : start + 10], y[start : start + 10], return_dict=True
        )
        for name, value in expected.items():
            assert batch[name][row] == pytest.approx(float(value), rel=1e-6)


class Sets(callbacks.Callback):
    """Another callback that sets the rate before some batches, through the model."""

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        if batch % 3 == 1:
            self.model.optimizer.learning_rate = 0.1 / (1 + batch)


@pytest.mark.parametrize("recorder_first", [True, False])
def test_the_rates_are_those_that_the_weights_moved_by(
    tmp_path: Path, recorder_first: bool
) -> None:
    """SGD moves each weight by rate x gradient, and the gradient of a mean output is known."""
    model = make_linear()
    schedule = warmup(4) >> cosine(40, end=0.1)
    rules = {"a": 0.25, "b": linear(20, start=1.0, end=3.0)}
    optimizer = LRMultiplier(keras.optimizers.SGD(0.1), rules, schedule=schedule)
    model.compile(optimizer, loss=lambda y, p: ops.mean(p))
    x = np.ones((48, 2), "float32")
    moved: list[np.ndarray] = []
    watch = Weights(moved)
    plateau = callbacks.ReduceLROnPlateau(
        monitor="loss", factor=0.5, patience=1, min_delta=1e3, cooldown=0
    )
    recorder = Recorder(tmp_path)
    others: list[Any] = [Sets(), plateau, watch]
    used = [recorder, *others] if recorder_first else [*others, recorder]
    model.fit(x, x[:, :1], batch_size=8, epochs=3, verbose=0, callbacks=used)
    watch.on_train_batch_begin(0)
    batch = History.load(tmp_path).batch
    steps = -np.diff(np.array(moved), axis=0)
    assert len(steps) == 18
    assert len(set(batch["rate"])) == 4  # both callbacks really drove it
    for column, name in enumerate(["a", "b", "default"]):
        np.testing.assert_allclose(batch[f"rates/{name}"], steps[:, column], rtol=1e-4, atol=1e-7)
    expected = batch["rate"] * schedule(np.arange(18)) * 0.25
    np.testing.assert_allclose(batch["rates/a"], expected, rtol=1e-6)


def make_linear() -> Any:
    """Three branches with a bias each, whose gradient is 1, from weights of 0."""
    inputs = keras.Input((2,))
    outputs = [
        keras.layers.Dense(1, name=name, kernel_initializer="zeros")(inputs) for name in "abc"
    ]
    return keras.Model(inputs, keras.layers.Add()(outputs))


class Weights(callbacks.Callback):
    """The three biases before each batch."""

    def __init__(self, seen: list[np.ndarray]) -> None:
        super().__init__()
        self.seen = seen

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        biases = [layer.bias for layer in self.model.layers if hasattr(layer, "bias")]
        self.seen.append(np.concatenate(arrays(biases)))


@pytest.mark.parametrize("multiplied", [True, False])
def test_a_schedule_as_learning_rate(tmp_path: Path, multiplied: bool) -> None:
    keras_own = keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.5)
    ours = LearningRateSchedule(linear(20, start=0.2, end=0.1))
    for number, rate in enumerate([keras_own, ours]):
        plain = keras.optimizers.SGD(rate, gradient_accumulation_steps=2)
        optimizer = LRMultiplier(plain) if multiplied else plain
        model = line(optimizer=optimizer)
        x, y = points(16)
        run = tmp_path / str(number)
        model.fit(x, y, batch_size=2, verbose=0, callbacks=[Recorder(run)])
        batch = History.load(run).batch
        assert batch["step"].tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
        # Keras counts batches for its own schedules, and LRMultiplier updates for ours.
        clock = batch["step"] if multiplied and rate is ours else np.arange(8)
        expected = [float(ops.convert_to_numpy(rate(int(t)))) for t in clock]
        np.testing.assert_allclose(batch["rate"], expected, rtol=1e-6)


def test_ratios_against_numpy(tmp_path: Path) -> None:
    model = make_network()
    x, y = make_data()
    moved: list[list[np.ndarray]] = []

    class Watch(callbacks.Callback):
        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
            moved.append(arrays(self.model.trainable_variables))

        def on_train_end(self, logs: Any = None) -> None:
            moved.append(arrays(self.model.trainable_variables))

    model.compile(keras.optimizers.Adam(0.01), loss=loss())
    used = [Recorder(tmp_path, ratios=3), Watch()]
    model.fit(x, y, batch_size=8, shuffle=False, verbose=0, callbacks=used)
    batch = History.load(tmp_path).batch
    for place, name in enumerate(["low", "middle", "high"]):
        own = slice(2 * place, 2 * place + 2)
        expected = []
        for before, after in itertools.pairwise(moved):
            change = sum(np.sum((b - a) ** 2) for a, b in zip(before[own], after[own], strict=True))
            expected.append(np.sqrt(change / sum(np.sum(a**2) for a in before[own])))
        found = batch[f"ratios/{name}"]
        assert np.flatnonzero(~np.isnan(found)).tolist() == [0, 3, 6]
        np.testing.assert_allclose(found[::3], expected[::3], rtol=1e-4)


def test_every(tmp_path: Path) -> None:
    model = line()
    model.fit(*points(20), batch_size=2, verbose=0, callbacks=[Recorder(tmp_path, every=4)])
    assert History.load(tmp_path).batch["step"].tolist() == [0, 4, 8]


def test_an_interrupted_training_is_resumed_without_gaps_or_duplicates(tmp_path: Path) -> None:
    class Interrupt(callbacks.Callback):
        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
            if self.model.optimizer.iterations >= 20:
                raise RuntimeError("interrupted")

    def train(run: Path, *others: Any) -> None:
        model = make_network()
        fit(model, "adam", epochs=4, callbacks=[*others, Recorder(run)])

    train(tmp_path / "whole")
    backup = callbacks.BackupAndRestore(tmp_path / "backup")
    with pytest.raises(RuntimeError, match="interrupted"):
        train(tmp_path / "run", backup, Interrupt())
    train(tmp_path / "run", callbacks.BackupAndRestore(tmp_path / "backup"))
    whole, resumed = (History.load(tmp_path / name).batch for name in ("whole", "run"))
    assert resumed["step"].tolist() == list(range(32))
    assert resumed["epoch"].tolist() == whole["epoch"].tolist()
    assert resumed["loss"].tolist() == whole["loss"].tolist()
    assert History.load(tmp_path / "run").epoch["epoch"].tolist() == [0, 1, 2, 3]


def test_initial_epoch_appends(tmp_path: Path) -> None:
    model = line()
    x, y = points(8)
    for first in range(2):
        model.fit(
            *(x, y),
            batch_size=2,
            initial_epoch=first,
            epochs=first + 1,
            verbose=0,
            callbacks=[Recorder(tmp_path)],
        )
    history = History.load(tmp_path)
    assert history.batch["step"].tolist() == list(range(8))
    assert history.epoch["epoch"].tolist() == [0, 1]


def test_a_training_that_is_broken_off_leaves_nothing_to_the_next(tmp_path: Path) -> None:
    class Break(callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            if batch == 3:
                raise KeyboardInterrupt

    model = line()
    x, y = points(16)
    with pytest.raises(KeyboardInterrupt), Recorder(tmp_path) as recorder:
        model.fit(x, y, batch_size=2, verbose=0, callbacks=[recorder, Break()])
    assert History.load(tmp_path).batch["step"].tolist() == [0, 1, 2, 3]
    assert stream_of(model.train_function) is None
    with pytest.raises(KeyboardInterrupt):
        model.fit(x, y, batch_size=2, verbose=0, callbacks=[Recorder(tmp_path), Break()])
    model.fit(x, y, batch_size=2, verbose=0)
    assert stream_of(model.train_function) is None
    assert max(History.load(tmp_path).batch["step"]) < 8  # nothing of the last one


@pytest.mark.parametrize("afterwards", ["fit", "train_on_batch"])
def test_a_training_broken_off_before_a_step_takes_none_of_the_next(
    afterwards: str, tmp_path: Path
) -> None:
    class Break(callbacks.Callback):
        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
            if batch == 2:
                raise KeyboardInterrupt

    model = line()
    x, y = points(8)
    recorder = Recorder(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        model.fit(x, y, batch_size=2, verbose=0, callbacks=[recorder, Break()])
    getattr(model, afterwards)(x[:2], y[:2])
    recorder.close()
    assert History.load(tmp_path).batch["step"].tolist() == [0, 1]
    assert stream_of(model.train_function) is None


def test_one_row_an_execution(tmp_path: Path) -> None:
    if keras.backend.backend() == "torch":
        pytest.skip("Keras on Torch has one batch an execution")
    x, y = points(14)
    model = line(steps_per_execution=3)
    expected = losses_by_hand(model, x, y, 0.01, 2)
    model.fit(x, y, batch_size=2, shuffle=False, verbose=0, callbacks=[Recorder(tmp_path)])
    batch = History.load(tmp_path).batch
    assert batch["step"].tolist() == [2, 5, 6]
    np.testing.assert_allclose(batch["loss"], expected[[2, 5, 6]], rtol=1e-5)


def test_a_skipped_update_does_not_count(tmp_path: Path) -> None:
    x, y = points(12)
    x[4:6] = np.inf
    optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.01))
    model = line(optimizer=optimizer)
    model.fit(x, y, batch_size=2, shuffle=False, verbose=0, callbacks=[Recorder(tmp_path)])
    batch = History.load(tmp_path).batch
    assert batch["step"].tolist() == [0, 1, 2, 2, 3, 4]
    assert not np.isfinite(batch["loss"][2])
    assert np.isfinite(np.delete(batch["loss"], 2)).all()


def test_outputs_sample_weights_and_regularization(tmp_path: Path) -> None:
    def make() -> Any:
        keras.utils.set_random_seed(4)
        inputs = keras.Input((6,))
        regular = keras.regularizers.L2(0.1)
        a = keras.layers.Dense(1, name="a", kernel_regularizer=regular)(inputs)
        b = keras.layers.Dense(1, name="b")(inputs)
        model = keras.Model(inputs, [a, b])
        model.compile(
            "sgd", loss=["mse", "mae"], loss_weights=[1, 3], weighted_metrics=[["mae"]] * 2
        )
        return model

    x, y = make_data(16)
    weights = np.linspace(0, 2, 16).astype("float32")
    y = y.astype("float32")
    make().fit(
        *(x, [y, -y]),
        sample_weight=weights,
        batch_size=4,
        shuffle=False,
        verbose=0,
        callbacks=[Recorder(tmp_path)],
    )
    batch = History.load(tmp_path).batch
    model = make()
    for row in range(4):
        own = slice(4 * row, 4 * row + 4)
        model.reset_metrics()
        logs = model.train_on_batch(x[own], [y[own], -y[own]], weights[own], return_dict=True)
        assert batch["loss"][row] == pytest.approx(float(logs["loss"]), rel=1e-6)
        assert batch["a_mae"][row] == pytest.approx(float(logs["a_mae"]), rel=1e-6)
    assert "a_loss" not in batch


class Own(keras.Sequential):
    """A model with a train step of its own, which returns something else."""

    def train_step(self, *arguments: Any) -> Any:
        result = super().train_step(*arguments)
        if keras.backend.backend() == "jax":
            return self.logs(result[0]["loss"]), result[1]
        return self.logs(result["loss"])

    def logs(self, value: Any) -> dict[str, Any]:
        return {"mine": value, "parts": {"inner": {"twice": 2 * value}}}


def test_what_a_train_step_of_ones_own_returns(tmp_path: Path) -> None:
    model = Own([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", loss="mse")
    with pytest.warns(RecorderWarning, match=r"Own\.train_step"):
        model.fit(*points(8), batch_size=2, verbose=0, callbacks=[Recorder(tmp_path)])
    batch = History.load(tmp_path).batch
    assert "loss" not in batch
    assert len(batch["mine"]) == 4
    assert batch["twice"].tolist() == (2 * batch["mine"]).tolist()
    assert "parts" not in batch


def test_two_recorders_side_by_side(tmp_path: Path) -> None:
    model = line()
    used = [Recorder(tmp_path / "a", ratios=2), Recorder(tmp_path / "b", wait=0)]
    model.fit(*points(8), batch_size=2, verbose=0, callbacks=used)
    a, b = (History.load(tmp_path / name).batch for name in "ab")
    assert a["loss"].tolist() == b["loss"].tolist()
    assert "ratios/line" in a
    assert "ratios/line" not in b


def test_groups_have_readable_names(tmp_path: Path) -> None:
    model = make_network()
    model.compile(LRMultiplier("sgd", [{"high/bias": 2.0}, layer_decay(0.5)]), loss=loss())
    model.fit(*make_data(8), verbose=0, callbacks=[Recorder(tmp_path)])
    history = History.load(tmp_path)
    names = {name for name in history.batch if name.startswith("rates/")}
    assert names == {"rates/low", "rates/middle", "rates/high", "rates/high/bias"}
    assert history.plan is not None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ratios": 0}, "at least 1"),
        ({"ratios": 1.5}, "whole number"),
        ({"every": 0}, "every"),
        ({"wait": -1}, "wait"),
    ],
)
def test_bad_arguments(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(RecorderError, match=message):
        Recorder(tmp_path / "run", **options)


@pytest.mark.parametrize("name", [TRACKER, METRICS])
def test_a_missing_hook_is_named_with_the_version(tmp_path: Path, name: str) -> None:
    model = line()
    object.__delattr__(model, name)
    with pytest.raises(RecorderError, match=rf"{name}.*Keras {keras.__version__}"):
        open_stream(model, None, Recorder(tmp_path))
