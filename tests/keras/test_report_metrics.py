"""Rules that a metric decides in Keras, against Keras' own callback and a training in parts."""

import random
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from layerwise import gradual_unfreezing, plateau, reduce_on_plateau
from layerwise.errors import OptimizerError, ScheduleError
from layerwise.keras import LearningRateSchedule, LRMultiplier, Recorder, ReportMetrics
from layerwise.recorder import History

LOSSES = [1, 0.9, 0.95, 0.91, 0.8, 0.9, 0.9, 0.9]
WHEN = plateau("val_loss", patience=2)
RULES = [gradual_unfreezing(when=WHEN), {"c/bias": reduce_on_plateau("val_loss", 0.5, 1)}]
X = np.random.RandomState(0).randn(32, 4).astype("float32")
Y = X.sum(1, keepdims=True)


class Metric(keras.callbacks.Callback):
    """Gives each epoch the metric that a test wants."""

    def __init__(self, values: list[float]) -> None:
        super().__init__()
        self.values = values

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        logs["val_loss"] = self.values[epoch]


def make(
    optimizer: Any = None, rules: Any = None, schedule: Any = None, dtype: str = "float32"
) -> Any:
    keras.utils.set_random_seed(0)
    sizes = ((3, "a"), (3, "b"), (1, "c"))
    layers = [keras.layers.Dense(n, name=name, dtype=dtype) for n, name in sizes]
    model = keras.Sequential([keras.Input((4,)), *layers])
    plain = optimizer or keras.optimizers.Adam(0.05)
    model.compile(LRMultiplier(plain, rules, schedule=schedule), loss="mse")
    return model


def fit(model: Any, epochs: int, *callbacks: Any, first: int = 0) -> Any:
    options = {"batch_size": 8, "verbose": 0, "shuffle": False, "initial_epoch": first}
    model.fit(X, Y, epochs=epochs, callbacks=list(callbacks), **options)
    return model.get_weights()


def same(one: Any, other: Any) -> bool:
    return all(map(np.array_equal, one, other))


@pytest.mark.parametrize("seed", range(3))
def test_a_reduction_is_that_of_keras(seed):
    rng = random.Random(seed)
    losses = [round(rng.gauss(1, 0.1), 2) for _ in range(10)]
    patience, cooldown = rng.randint(1, 2), rng.randint(0, 2)
    peer = keras.callbacks.ReduceLROnPlateau(
        "val_loss", 0.5, patience, cooldown=cooldown, min_delta=0.0, min_lr=0.0
    )
    falling = reduce_on_plateau("val_loss", 0.5, patience, cooldown=max(cooldown - 1, 0))
    ours, theirs = make(schedule=falling), make()
    theirs.compile(keras.optimizers.Adam(0.05), loss="mse")
    found = fit(ours, 10, Metric(losses), ReportMetrics())
    assert same(found, fit(theirs, 10, Metric(losses), peer))
    assert float(theirs.optimizer.learning_rate) < 0.05


def test_levels_thaw_without_a_new_compilation_and_the_record_has_it(tmp_path: Path):
    model, calls = make(rules=RULES), []
    step = model.train_step

    def counted(*arguments: Any, **named: Any) -> Any:
        calls.append(1)
        return step(*arguments, **named)

    if keras.backend.backend() != "torch":  # eager there: called at each step
        model.train_step = counted
    before = {variable.path: variable.numpy() for variable in model.trainable_variables}
    fit(model, 4, Metric(LOSSES), ReportMetrics(), Recorder(tmp_path))
    for variable in model.trainable_variables:
        frozen = "/a/" in variable.path or "/b/" in variable.path
        assert np.array_equal(variable.numpy(), before[variable.path]) == frozen
    assert len(calls) <= 2
    known = len(calls)
    fit(model, 8, Metric(LOSSES), ReportMetrics(), Recorder(tmp_path), first=4)
    assert len(calls) <= known + 2
    history = History.load(tmp_path)
    assert [step for step, text in history.events if "patience=2" in text] == [16, 28]
    thawed = [step for step, rate in enumerate(history.batch["rates/b"]) if rate > 0]
    assert thawed == list(range(16, 32))
    expected = 0.05 * 0.5 ** np.repeat([0, 0, 0, 1, 2, 2, 3, 4], 4)
    np.testing.assert_allclose(history.batch["rates/c/bias"], expected, rtol=1e-6)


def test_a_saved_model_goes_on_where_it_was(tmp_path: Path):
    model = make(rules=RULES)
    fit(model, 3, Metric(LOSSES), ReportMetrics())
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.optimizer.decisions.states == model.optimizer.decisions.states
    both = [fit(m, 8, Metric(LOSSES), ReportMetrics(), first=3) for m in (model, loaded)]
    assert same(*both)
    assert model.optimizer.decisions.states[WHEN].fired == 2


def test_weights_of_a_plain_optimizer_load(tmp_path: Path):
    plain = make()
    plain.compile(keras.optimizers.Adam(0.05), loss="mse")
    fit(plain, 2)
    plain.save_weights(tmp_path / "plain.weights.h5")
    model = make(rules=RULES)
    model.optimizer.build(model.trainable_variables)
    model.load_weights(tmp_path / "plain.weights.h5")
    assert int(model.optimizer.iterations.numpy()) == 8
    assert model.optimizer.decisions.states[WHEN] == WHEN.start()


FALLING = reduce_on_plateau("val_loss", 0.5, 2, restore_best=True)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("elsewhere", [False, True])
def test_the_best_weights_come_back(tmp_path: Path, elsewhere, dtype):
    model, kept = make(keras.optimizers.SGD(0.05), schedule=FALLING, dtype=dtype), {}
    backup = tmp_path / "best.npz"
    keep = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: kept.setdefault(epoch, model.get_weights())
    )
    one = ReportMetrics(backup)
    fit(model, 3, Metric(LOSSES), keep, one)
    found = fit(model, 4, Metric(LOSSES), ReportMetrics(backup) if elsewhere else one, first=3)
    assert same(found, kept[1])
    assert not same(found, kept[2])
    assert list(tmp_path.iterdir()) == [backup]


def test_another_model_does_not_get_the_best_weights_of_the_first(tmp_path: Path):
    one, first = ReportMetrics(), make(schedule=FALLING)
    fit(first, 3, Metric(LOSSES), one)
    first.save(tmp_path / "first.keras")
    other = keras.saving.load_model(tmp_path / "first.keras")
    other.set_weights([0 * weight for weight in other.get_weights()])
    with pytest.warns(UserWarning, match="its best weights are not here"):
        found = fit(other, 4, Metric(LOSSES), one, first=3)
    expected = make(schedule=FALLING)
    fit(expected, 3, Metric(LOSSES), ReportMetrics())
    expected.set_weights([0 * weight for weight in expected.get_weights()])
    assert same(found, fit(expected, 4, first=3))


def test_without_a_best_epoch_a_file_of_another_training_is_left_alone(tmp_path: Path):
    backup = tmp_path / "best.npz"
    fit(make(schedule=FALLING), 1, Metric(LOSSES), ReportMetrics(backup))
    nan, plain = make(schedule=FALLING), make(schedule=FALLING)
    found = fit(nan, 2, Metric([float("nan")] * 2), ReportMetrics(backup))
    assert list(nan.optimizer.decisions.counts().values()) == [1]
    assert same(found, fit(plain, 2))


def test_a_backup_that_can_not_be_written_is_told(tmp_path: Path):
    with pytest.raises(OptimizerError, match=r"The best weights can't be written to .*nowhere"):
        fit(make(schedule=FALLING), 1, Metric(LOSSES), ReportMetrics(tmp_path / "nowhere" / "b"))


def test_clear_errors():
    with pytest.raises(OptimizerError, match="has nothing to do"):
        fit(make(), 1, ReportMetrics())
    with pytest.raises(OptimizerError, match="has no 'other'"):
        fit(make(schedule=reduce_on_plateau("other")), 1, ReportMetrics())
    plain = make()
    plain.compile("sgd", loss="mse")
    with pytest.raises(OptimizerError, match="is for an LRMultiplier"):
        fit(plain, 1, ReportMetrics())
    with pytest.raises(ScheduleError, match="is moved by a metric"):
        LearningRateSchedule(reduce_on_plateau("loss"))
    with pytest.warns(UserWarning, match="No epoch had val_loss"):
        fit(make(rules=RULES), 1, ReportMetrics())
