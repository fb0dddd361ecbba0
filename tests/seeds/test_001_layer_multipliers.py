"""Seed 001: multipliers written on the layer, kernel and bias apart, saved with it."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from layerwise.errors import AmbiguousRuleError
from layerwise.keras import LRMultiplier, annotate
from layerwise.keras.layers import Conv2D, Dense

RATE = 0.5


def make_model() -> Any:
    keras.utils.set_random_seed(1)
    inputs = keras.Input((8, 8, 1))
    x = Conv2D(
        filters=16,
        kernel_size=[2, 2],
        strides=[1, 1],
        padding="same",
        lr_multiplier={"kernel": 0.0001, "bias": 0.0002},
        name="conv",
    )(inputs)
    x = keras.layers.Flatten()(x)
    x = Dense(32, activation="relu", lr_multiplier={"kernel": 0.1, "bias": 0.2}, name="dense")(x)
    return keras.Model(inputs, keras.layers.Dense(3, name="plain")(x))


def data() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(2)
    return rng.normal(size=(8, 8, 8, 1)).astype("float32"), rng.normal(size=(8, 3))


def one_step(model: Any, optimizer: Any) -> list[np.ndarray]:
    before = [np.array(w) for w in model.get_weights()]
    model.compile(optimizer, loss="mse")
    model.train_on_batch(*data())
    return [np.array(w) - b for w, b in zip(model.get_weights(), before, strict=True)]


def test_each_weight_moves_at_its_own_rate() -> None:
    """Under plain SGD the change is rate x gradient, so the ratio to an unmarked run is ours."""
    moved = one_step(make_model(), LRMultiplier(keras.optimizers.SGD(RATE)))
    whole = one_step(make_model(), keras.optimizers.SGD(RATE))
    multipliers = [0.0001, 0.0002, 0.1, 0.2, 1.0, 1.0]
    for mine, plain, multiplier in zip(moved, whole, multipliers, strict=True):
        assert np.abs(plain).max() > 1e-4
        # A change is the difference of two float32 weights of order 0.1 to 1.
        np.testing.assert_allclose(mine, multiplier * plain, rtol=1e-5, atol=1e-7)


def test_the_multipliers_are_saved_with_the_layers(tmp_path: Path) -> None:
    model = make_model()
    one_step(model, LRMultiplier("adam"))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.get_layer("conv").lr_multiplier == {"kernel": 0.0001, "bias": 0.0002}
    assert loaded.get_layer("dense").get_config()["lr_multiplier"] is not None
    assert loaded.optimizer.learning_rates() == model.optimizer.learning_rates()


def test_two_multipliers_for_one_weight_are_an_error() -> None:
    shared = Dense(4, lr_multiplier=0.1, name="shared")
    twice = annotate(keras.layers.TimeDistributed(shared, name="around"), 0.2)
    model = keras.Sequential([keras.Input((3, 4)), twice])
    before = [w.copy() for w in model.get_weights()]
    model.compile(LRMultiplier("sgd"), loss="mse")
    with pytest.raises(AmbiguousRuleError, match=r"shared.*around|around.*shared"):
        model.fit(np.ones((2, 3, 4)), np.ones((2, 3, 4)), verbose=0)
    for now, then in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(now, then)
