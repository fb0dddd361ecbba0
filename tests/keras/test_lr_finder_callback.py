"""The callback sweeps within ``fit``, stops it, and puts everything back."""

from typing import Any

import keras
import numpy as np
import pytest

from layerwise import warmup
from layerwise.errors import FinderError, OptimizerError
from layerwise.keras import LRMultiplier, find_lr
from layerwise.keras.callbacks import LRFinder
from tests._support.keras.everything import everything
from tests._support.keras.networks import loss, make_data, make_network

X, Y = make_data()


def make(optimizer: Any = "sgd") -> Any:
    model = make_network(kernel_regularizer=keras.regularizers.L2(0.01))
    model.compile(optimizer, loss=loss(), metrics=["accuracy"])
    return model


def sweep(model: Any, finder: LRFinder, *others: Any, **options: Any) -> LRFinder:
    options = {"batch_size": 16, "epochs": 50, "shuffle": False, "verbose": 0} | options
    model.fit(X, Y, callbacks=[*others, finder], **options)
    return finder


def test_the_curve_is_find_lrs() -> None:
    """Over several epochs: the losses are each batch's own, and the rates reach the weights."""
    finder = sweep(make("adam"), LRFinder(1e-4, 1.0, steps=12, stop="never"))
    expected = find_lr(
        make("adam"),
        X,
        Y,
        batch_size=16,
        shuffle=False,
        low=1e-4,
        high=1.0,
        steps=12,
        stop="never",
        method="sweep",
        progress=False,
    )
    assert finder.finding is not None
    assert finder.finding.rates == expected.rates
    np.testing.assert_allclose(finder.finding.losses, expected.losses, rtol=1e-6)
    assert finder.finding.stopped == "reached the upper rate"
    assert finder.finding.suggestion == pytest.approx(expected.suggestion)


def test_the_history_has_every_batch() -> None:
    finder = sweep(make(), LRFinder(1e-4, 1.0, steps=12, stop="never"))
    history = finder.batch_history
    assert set(history) == {"lrs", "loss", "accuracy"}
    np.testing.assert_allclose(history["lrs"], np.geomspace(1e-4, 1, 12), rtol=1e-6)
    assert finder.finding is not None
    np.testing.assert_allclose(history["loss"], finder.finding.losses)


def test_a_factor_multiplies_the_rate() -> None:
    finder = sweep(make(), LRFinder(base_lr=1e-3, lr_multiplier=2.0, stop="never"))
    np.testing.assert_allclose(finder.batch_history["lrs"], 1e-3 * 2.0 ** np.arange(14), rtol=1e-6)


def test_a_linear_sweep() -> None:
    finder = sweep(make(), LRFinder(0.1, 1.0, steps=10, spacing="linear", stop="never"))
    np.testing.assert_allclose(finder.batch_history["lrs"], np.linspace(0.1, 1.0, 10), rtol=1e-6)


def test_it_stops_when_the_loss_has_doubled() -> None:
    finder = sweep(make(), LRFinder(base_lr=1e-2, lr_multiplier=1.5, high=1e9))
    assert finder.finding is not None
    assert finder.finding.stopped == "diverged"
    assert 10 < len(finder.finding.rates) < 60


def test_everything_is_put_back() -> None:
    model = make("adam")
    model.fit(X, Y, batch_size=16, verbose=0)
    before = everything(model)
    sweep(model, LRFinder(1e-4, 100.0, steps=20), validation_data=(X[:8], Y[:8]), shuffle=True)
    after = everything(model)
    random = ("numpy", "python", "keras", "torch", "op seeds")
    for name in (*random, "own attributes", "gradients", "gradient objects"):  # fit's own
        before.pop(name, None), after.pop(name, None)
    assert after == before


def test_weights_are_kept_on_request() -> None:
    model = make()
    start = model.get_weights()
    sweep(model, LRFinder(1e-2, 1.0, steps=10, stop="never", restore=False))
    moved = [bool((a != b).any()) for a, b in zip(start, model.get_weights(), strict=True)]
    assert any(moved)
    rate = float(keras.ops.convert_to_numpy(model.optimizer.learning_rate))
    assert rate == pytest.approx(0.01)


def test_another_callbacks_stop_is_told_apart() -> None:
    class Stopping(keras.callbacks.Callback):
        """Stops training in its third batch."""

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            if batch == 2:
                self.model.stop_training = True

    finder = sweep(make(), LRFinder(1e-4, 1.0, steps=12), Stopping())
    assert finder.finding is not None
    assert finder.finding.stopped == "stopped by the user"
    assert len(finder.finding.rates) == 3


def test_too_few_epochs_end_the_data() -> None:
    finder = sweep(make(), LRFinder(1e-4, 1.0, steps=12), epochs=2)
    assert finder.finding is not None
    assert finder.finding.stopped == "data ended"
    assert len(finder.finding.rates) == 8


def test_several_steps_an_execution_have_one_rate_and_one_point() -> None:
    if keras.backend.backend() == "torch":
        pytest.skip("Keras on Torch has one batch an execution")
    model = make_network()
    model.compile("sgd", loss=loss(), steps_per_execution=2)
    finder = sweep(model, LRFinder(1e-4, 1.0, steps=12, stop="never"))
    assert finder.finding is not None
    # The row is that of its last batch, the rate that of its first; the last one is the highest.
    rates = [*np.geomspace(1e-4, 1, 12)[::2], 1.0]
    np.testing.assert_allclose(finder.finding.rates, rates)
    np.testing.assert_allclose(finder.batch_history["lrs"], finder.finding.rates, rtol=1e-6)


def test_an_update_that_was_skipped_is_no_point() -> None:
    optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(), initial_scale=3e38)
    finder = LRFinder(1e-4, 1.0, steps=12, stop="never")
    sweep(make(optimizer), finder, sample_weight=np.full(len(X), 8.0))  # for gradients above 1
    assert finder.finding is not None
    np.testing.assert_allclose(finder.finding.rates, np.geomspace(1e-4, 1, 12))
    assert len(finder.batch_history["lrs"]) > 12


def test_a_training_that_was_broken_off_is_put_back_by_hand() -> None:
    class Failing(keras.callbacks.Callback):
        """Raises in its third batch."""

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            if batch == 2:
                raise RuntimeError("out of luck")

    model = make()
    start = model.get_weights()
    finder = LRFinder(1e-2, 1.0, steps=12)
    with pytest.raises(RuntimeError, match="luck"):
        sweep(model, finder, Failing())
    assert any((a != b).any() for a, b in zip(start, model.get_weights(), strict=True))
    finder.put_back()
    assert finder.finding is None
    for mine, before in zip(model.get_weights(), start, strict=True):
        np.testing.assert_array_equal(mine, before)
    again = sweep(model, finder).finding
    assert again == sweep(make(), LRFinder(1e-2, 1.0, steps=12)).finding


def test_multipliers_are_kept_and_reported() -> None:
    finder = sweep(make(LRMultiplier("sgd", {"low": 0.5})), LRFinder(1e-4, 1.0, steps=12))
    assert finder.finding is not None
    assert finder.finding.group_factors["low"] == 0.5


def test_a_schedule_is_refused_with_the_way_out() -> None:
    with pytest.raises(FinderError, match="find_lr, which lifts it"):
        sweep(make(LRMultiplier("sgd", schedule=warmup(10))), LRFinder())
    decay = keras.optimizers.schedules.CosineDecay(0.1, 10)
    with pytest.raises(OptimizerError, match="schedule"):
        sweep(make(keras.optimizers.SGD(decay)), LRFinder())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"low": 1.0, "high": 0.1}, "must be below"),
        ({"base_lr": 0.0}, "above 0"),
        ({"steps": 5}, "at least 10"),
        ({"lr_multiplier": 1.0}, "lr_multiplier=1.0"),
        ({"base_lr": 1.0, "lr_multiplier": 4.0}, "at least 10"),
        ({"lr_multiplier": 2.0, "spacing": "linear"}, "geometric"),
        ({"stop": "soon"}, "'soon'"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(FinderError, match=message):
        LRFinder(**arguments)


def test_nothing_to_plot_before_the_end() -> None:
    with pytest.raises(FinderError, match="swept"):
        LRFinder().plot_loss()
