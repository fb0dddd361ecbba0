"""Seed 000 (keras-lr-multiplier): a rate per layer by longest prefix, constant or of the step."""

from typing import Any

import keras
import numpy as np
import pytest
from keras import ops as K  # noqa: N812 (as the seed calls it)
from keras.layers import Dense, Input
from keras.models import Sequential

from layerwise.keras import LRMultiplier


def make_model() -> Any:
    keras.utils.set_random_seed(0)
    model = Sequential()
    model.add(Input((5,)))
    model.add(Dense(units=5, activation="tanh", name="Dense"))
    model.add(Dense(units=2, activation="softmax", name="Output"))
    return model


def train(model: Any) -> Any:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(256, 5)).astype("float32")
    y = (x.sum(axis=1) > 0).astype("int32")
    return model.fit(x, y, batch_size=16, epochs=10, verbose=0)


def test_the_dict() -> None:
    model = make_model()
    model.compile(
        optimizer=LRMultiplier("adam", {"Dense": 0.5, "Output": 1.5}),
        loss="sparse_categorical_crossentropy",
    )
    loss = train(model).history["loss"]
    # Over twelve seeds the loss fell to between 0.61 and 0.84 of the first epoch's.
    assert loss[-1] < 0.95 * loss[0]
    rates = list(model.optimizer.learning_rates().values())
    np.testing.assert_allclose(rates, [0.0005, 0.0005, 0.0015, 0.0015], rtol=1e-6)


def test_the_lambda() -> None:
    model = make_model()
    model.compile(
        optimizer=LRMultiplier("adam", {"Dense": lambda t: 2.0 - K.minimum(1.9, t * 1e-4)}),
        loss="sparse_categorical_crossentropy",
    )
    train(model)
    assert int(model.optimizer.iterations) == 160
    rates = list(model.optimizer.learning_rates().values())
    np.testing.assert_allclose(rates, [0.001 * (2 - 0.016)] * 2 + [0.001] * 2, rtol=1e-6)
    model.optimizer.iterations.assign(10**6)
    rates = list(model.optimizer.learning_rates().values())
    np.testing.assert_allclose(rates, [0.0001] * 2 + [0.001] * 2, rtol=1e-6)


def test_the_longest_prefix_wins() -> None:
    model = Sequential([Input((5,)), Dense(3, name="Dense-12"), Dense(2, name="Dense")])
    model.compile(LRMultiplier("sgd", {"Dense": 0.5, "Dense-1": 0.25}), loss="mse")
    model.optimizer.build(model.trainable_variables)
    assert list(model.optimizer.learning_rates().values()) == pytest.approx(
        [0.0025, 0.0025, 0.005, 0.005]
    )
