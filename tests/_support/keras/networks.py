"""Small networks and data for tests that train a whole model."""

from typing import Any

import keras
import numpy as np


def make_network(seed: int = 3, layers: Any = keras.layers, **head: Any) -> Any:
    """A functional classifier with layers named low, middle and high, equal for equal seeds."""
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((6,))
    x = layers.Dense(8, activation="tanh", name="low")(inputs)
    x = layers.Dense(8, activation="tanh", name="middle")(x)
    outputs = layers.Dense(3, name="high", **head)(x)
    return keras.Model(inputs, outputs, name="network")


def make_data(samples: int = 64, seed: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Inputs of six features, and one of three classes that depend on them."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(samples, 6)).astype("float32")
    y = (x @ rng.normal(size=(6, 3))).argmax(axis=1).astype("int32")
    return x, y


def loss() -> Any:
    """Cross-entropy from logits."""
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def fit(model: Any, optimizer: Any, epochs: int = 1, **options: Any) -> Any:
    """Compile and train on the data above, in a fixed order; returns the history."""
    fit_options = {k: options.pop(k) for k in ("callbacks", "initial_epoch") if k in options}
    model.compile(optimizer, loss=loss(), **options)
    x, y = make_data()
    return model.fit(x, y, batch_size=8, epochs=epochs, shuffle=False, verbose=0, **fit_options)
