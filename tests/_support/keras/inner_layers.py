"""Networks with layers inside of layers, whose weights' names Keras' loader changes."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import layers


@keras.saving.register_keras_serializable(package="tests.inner")
class Block(keras.layers.Layer):
    """Makes its own layers; Keras forgets the name that it was given, and numbers ``other``."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.inner = layers.Dense(6, name="inner")
        self.other = layers.Dense(6)

    def build(self, shape: Any) -> None:
        """Build both layers inside."""
        self.inner.build(shape)
        self.other.build(shape)

    def call(self, x: Any) -> Any:
        """Both layers, one after the other."""
        return self.other(self.inner(x))


@keras.saving.register_keras_serializable(package="tests.inner")
class Network(keras.Model):
    """A subclassed model of layers without names."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.block = Block()
        self.both = layers.Bidirectional(layers.SimpleRNN(3))
        self.head = layers.Dense(3)

    def call(self, x: Any) -> Any:
        """Block, recurrent layers, head."""
        return self.head(self.both(self.block(x)))


def _sequence(*inside: Any, shape: tuple[int, ...] = (3, 6), **options: Any) -> Any:
    return keras.Sequential([keras.Input(shape), *inside], **options)


def _body(*names: str, name: str = "body") -> Any:
    return _sequence(*[layers.Dense(6, name=n) for n in names], shape=(6,), name=name)


def _around(*bodies: Any) -> Any:
    inputs = keras.Input((6,))
    x = inputs
    for body in bodies:
        x = body(x)
    return keras.Model(inputs, layers.Dense(3, name="head")(x))


def _attention() -> Any:
    inputs = keras.Input((3, 6))
    x = layers.MultiHeadAttention(2, 3, name="attention")(inputs, inputs)
    return keras.Model(inputs, layers.Dense(3, name="head")(layers.Flatten()(x)))


def _subclassed() -> Any:
    model = Network(name="network")
    model(np.zeros((1, 3, 6), "float32"))
    return model


def _cell(**options: Any) -> Any:
    return layers.SimpleRNNCell(3, **options)


def _head() -> Any:
    return layers.Dense(3, name="head")


# What makes the model, and a rule that names a layer around others.
NETWORKS: dict[str, tuple[Callable[[], Any], str]] = {
    "bidirectional": (
        lambda: _sequence(layers.Bidirectional(layers.SimpleRNN(4), name="encoder"), _head()),
        "encoder",
    ),
    # Loaded, both are called dense.
    "time-distributed": (
        lambda: _sequence(
            layers.Dense(6, name="dense"),
            layers.TimeDistributed(layers.Dense(6, name="dense"), name="each"),
            layers.Flatten(),
            _head(),
        ),
        "dense",
    ),
    "cells": (
        lambda: _sequence(layers.RNN([_cell(name="low"), _cell()], name="cells"), _head()),
        "cells/stacked_rnn_cells/low",
    ),
    "stacked cells": (
        lambda: _sequence(
            layers.RNN(
                layers.StackedRNNCells([_cell(), _cell()], name="stack"),
                name="recurrent",
            ),
            _head(),
        ),
        "recurrent/stack",
    ),
    "nested": (lambda: _around(_body("a", "b")), "body"),
    "twice nested": (
        lambda: _around(
            _sequence(_body("a", name="low"), _body("a", name="high"), shape=(6,), name="body")
        ),
        "high",
    ),
    "block": (
        lambda: _sequence(Block(name="first"), Block(name="second"), layers.Flatten(), _head()),
        "second",
    ),
    "spectral": (
        lambda: _sequence(
            layers.SpectralNormalization(layers.Dense(6), name="normed"), layers.Flatten(), _head()
        ),
        "normed",
    ),
    "attention": (_attention, "attention/query"),
    "subclassed": (_subclassed, "network/block"),
}


def make_inner(name: str, seed: int = 3) -> Any:
    """One of these networks, equal for equal seeds, with Keras' numbers starting anew."""
    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)
    return NETWORKS[name][0]()


def update(model: Any) -> None:
    """One update with made-up gradients, which depend on how many there have been."""
    optimizer = model.optimizer
    count = int(keras.ops.convert_to_numpy(optimizer.iterations))
    rng = np.random.default_rng(1000 + count)
    weights = model.trainable_variables
    gradients = [rng.normal(size=weight.shape).astype("float32") for weight in weights]
    optimizer.apply([keras.ops.convert_to_tensor(g) for g in gradients], weights)


def fit_inner(model: Any, epochs: int = 1, **options: Any) -> None:
    """Train one of these networks with ``fit``, in a fixed order."""
    rng = np.random.default_rng(5)
    shape = (3, 6) if isinstance(model, Network) else model.inputs[0].shape[1:]
    x, y = (rng.normal(size=(32, *size)).astype("float32") for size in (shape, (3,)))
    model.fit(x, y, batch_size=8, epochs=epochs, shuffle=False, verbose=0, **options)
