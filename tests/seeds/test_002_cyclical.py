"""Seed 002: cyclical rates by a callback, own strategies by subclassing, plots from the history.

Its own examples, with today's imports; ``LR_Updater`` is spelled ``LRUpdater``.
"""

# Its own names, arguments and print.
# ruff: noqa: N806, PLR0917, T201

from typing import Any

import keras
import matplotlib.pyplot as plt
import numpy as np
import pytest
from keras import ops

from layerwise.keras.callbacks import CircularLR, LRUpdater

step_size, base_lr, max_lr, batch_size = 4, 0.01, 0.1, 8


def make_model() -> Any:
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.5), loss="mse", metrics=["mae"])
    return model


def make_data() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(96, 3)).astype("float32")
    return x, x @ np.array([[1.0], [2.0], [3.0]], "float32")


def test_cyclical_training_with_a_decaying_bound() -> None:
    model = make_model()
    train_X, train_y = make_data()
    val_X, val_y = train_X[:16], train_y[:16]

    clr = CircularLR(
        step_size=step_size, base_lr=base_lr, max_lr=max_lr, decay=0.6, decay_type="exp"
    )
    cbks = [clr]
    train_hist = model.fit(
        train_X,
        train_y,
        batch_size=batch_size,
        epochs=3,
        verbose=2,
        validation_data=(val_X, val_y),
        callbacks=cbks,
    )

    lrs = np.array(clr.batch_history["lrs"])
    assert len(lrs) == 36
    # Cycles of 8 batches: from base_lr to max_lr * 0.6^k in 4, and back in 4.
    peaks = max_lr * 0.6 ** np.arange(5)
    np.testing.assert_allclose(lrs[4::8], peaks[:4], rtol=1e-6)
    np.testing.assert_allclose(lrs[0::8], base_lr, rtol=1e-6)
    rising = [base_lr + (peaks[1] - base_lr) * share for share in (0, 0.25, 0.5, 0.75, 1)]
    np.testing.assert_allclose(lrs[8:13], rising, rtol=1e-6)
    np.testing.assert_allclose(lrs[12:17], rising[::-1], rtol=1e-6)
    # As Keras' History does, after each epoch; and all of it can be kept.
    assert clr.epoch_history["val_loss"] == train_hist.history["val_loss"]
    assert clr.batch_history["loss"][-1] < clr.batch_history["loss"][0]


def plot_lrs(
    hist: Any,
    low: int = 0,
    up: int = -1,
    marker: str = "",
    x_log: bool = True,
    moving_avg: bool = False,
    alpha: float = 0.9,
) -> Any:
    print("iter_num:", len(hist["lrs"]))
    plt.rcParams["figure.figsize"] = (12, 6)
    x = hist["lrs"]
    y = hist["loss"]
    if moving_avg:
        ma = y[0]
        for i in range(len(y)):
            ma = ma * alpha + y[i] * (1 - alpha)
            y[i] = ma
    plt.grid(axis="x")
    plt.plot(x[low:up], y[low:up], ls="-", marker=marker)
    if x_log:
        plt.xscale("log")
    plt.xlabel("lrs")
    plt.ylabel("loss")
    plt.title("lr-loss")
    return plt.xticks()


def test_the_readers_own_plot_from_the_history(capsys: pytest.CaptureFixture[str]) -> None:
    model = make_model()
    clr = CircularLR(step_size=step_size, base_lr=base_lr, max_lr=max_lr)
    model.fit(*make_data(), batch_size=batch_size, verbose=0, callbacks=[clr])
    plt.switch_backend("agg")
    plt.close("all")  # what other tests drew
    with plt.rc_context():
        hist = clr.batch_history
        plot_lrs(hist, moving_avg=True)
        axes = plt.gca()
    assert axes.lines[0].get_xdata().tolist() == hist["lrs"][:-1]
    assert "iter_num: 12" in capsys.readouterr().out
    plt.close("all")


def test_another_strategy_by_subclassing() -> None:
    class StepDecay(LRUpdater):
        def __init__(self, base_lr: float, every: int) -> None:
            super().__init__()
            self.base_lr = base_lr
            self.every = every

        def update_lr(self) -> float:
            return self.base_lr * 0.5 ** (self.step // self.every)

    model = make_model()
    updater = StepDecay(0.1, every=5)
    model.fit(*make_data(), batch_size=batch_size, verbose=0, callbacks=[updater])
    expected = [0.1] * 5 + [0.05] * 5 + [0.025] * 2
    assert updater.batch_history["lrs"] == pytest.approx(expected)
    assert float(ops.convert_to_numpy(model.optimizer.learning_rate)) == pytest.approx(0.025)
