"""Seed 002: a search for the learning rate during fit, then its plot, then the reader's own."""

from typing import Any

import keras
import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest

from layerwise.keras.callbacks import LRFinder
from tests._support.keras.networks import loss, make_data, make_network


@pytest.fixture(autouse=True)
def _without_a_screen() -> Any:
    before = mpl.get_backend()
    plt.switch_backend("agg")
    yield
    plt.close("all")
    plt.switch_backend(before)


@pytest.fixture(scope="module")
def searched() -> tuple[Any, Any, list[Any]]:
    """A search as the seed starts one: many epochs, validation data, a list of callbacks."""
    model = make_network()
    model.compile(keras.optimizers.SGD(0.01), loss=loss(), metrics=["accuracy"])
    weights = model.get_weights()
    train_x, train_y = make_data(64)
    val_x, val_y = make_data(16, seed=6)
    lr_finder = LRFinder(base_lr=1e-9, lr_multiplier=1.06)
    train_hist = model.fit(
        train_x,
        train_y,
        batch_size=8,
        epochs=1000,
        verbose=0,
        validation_data=(val_x, val_y),
        callbacks=[lr_finder],
    )
    return lr_finder, train_hist, [weights, model]


def plot_lrs(
    history: dict[str, list[float]], low: int = 0, up: int = -1, alpha: float = 0.9
) -> Any:
    """A reader's own plot: the moving average of the loss over the rate."""
    averages = [history["loss"][0]]
    for value in history["loss"][1:]:
        averages.append(alpha * averages[-1] + (1 - alpha) * value)
    _, ax = plt.subplots(figsize=(12, 6))
    ax.plot(history["lrs"][low:up], averages[low:up])
    ax.set_xscale("log")
    ax.set(xlabel="lrs", ylabel="loss", title="lr-loss")
    ax.grid(axis="x")
    return ax


def test_the_search_ends_by_itself(searched: Any) -> None:
    finder, history, (weights, model) = searched
    epochs = len(history.history["val_loss"])
    assert 1 < epochs < 60
    assert finder.finding.stopped in ("diverged", "reached the upper rate")
    np.testing.assert_allclose(
        finder.batch_history["lrs"][:3], [1e-9, 1.06e-9, 1.1236e-9], rtol=1e-6
    )
    assert 8 * (epochs - 1) < len(finder.batch_history["loss"]) <= 8 * epochs
    for before, after in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)


def test_its_own_plot(searched: Any) -> None:
    ax = searched[0].plot_loss()
    ax.figure.canvas.draw()
    assert ax.get_xscale() == "log"
    assert ax.get_xlabel()
    assert ax.get_ylabel()


def test_the_readers_plot(searched: Any) -> None:
    finder = searched[0]
    ax = plot_lrs(finder.batch_history)
    ax.figure.canvas.draw()
    x, y = ax.lines[0].get_data()
    assert len(x) == len(finder.batch_history["lrs"]) - 1
    assert np.isfinite(y).all()
