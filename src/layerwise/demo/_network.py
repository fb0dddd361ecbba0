"""A small convolutional network, compiled once and trained many times."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from layerwise.demo._digits import CLASSES, SIDE, Digits
from layerwise.multipliers import Rules
from layerwise.schedules import cosine

BATCH = 20

Weights = list[NDArray[Any]]


def network(seed: int) -> Any:
    """A backbone of three strided convolutions and a dense layer, and a head."""
    import keras
    from keras import layers

    start = keras.initializers.GlorotUniform(seed=keras.random.SeedGenerator(seed))

    def convolution(filters: int, name: str) -> Any:
        return layers.Conv2D(
            filters,
            3,
            strides=2,
            padding="same",
            activation="relu",
            kernel_initializer=start,
            name=name,
        )

    backbone = keras.Sequential(
        [
            keras.Input((SIDE, SIDE, 1)),
            convolution(32, "conv_1"),
            convolution(64, "conv_2"),
            convolution(128, "conv_3"),
            layers.Flatten(),
            layers.Dense(64, activation="relu", kernel_initializer=start, name="dense"),
        ],
        name="backbone",
    )
    head = layers.Dense(CLASSES, kernel_initializer=start, name="head")
    return keras.Sequential([keras.Input((SIDE, SIDE, 1)), backbone, head], name="network")


def with_backbone(weights: Weights, backbone: Weights) -> Weights:
    """The weights of a whole network, those of the backbone taken from another network's."""
    return [*backbone[:-2], *weights[-2:]]  # a head is a kernel and a bias


@dataclass(frozen=True, eq=False)
class Trainer:
    """A compiled model and its optimizer's state when new.

    Nothing is compiled again for another start, rate or data: weights, optimizer state and base
    rate are variables.
    """

    model: Any
    steps: int
    new: tuple[NDArray[Any], ...]

    def train(
        self, start: Weights, rate: float, digits: Digits, random: np.random.Generator
    ) -> Weights:
        """The weights after training from these weights at this base rate.

        Args:
            start: The weights to start from.
            rate: The base learning rate.
            digits: What to train on, in an order drawn anew for each time through.
            random: Decides the order.
        """
        optimizer = self.model.optimizer
        self.model.set_weights(start)
        for variable, value in zip(optimizer.variables, self.new, strict=True):
            variable.assign(value)
        optimizer.learning_rate = rate
        wanted = self.steps * BATCH
        rounds = [random.permutation(len(digits)) for _ in range(-(-wanted // len(digits)))]
        seen = digits.take(np.concatenate(rounds)[:wanted])
        self.model.fit(seen.images, seen.labels, batch_size=BATCH, shuffle=False, verbose=0)
        trained: Weights = self.model.get_weights()
        return trained


def compiled(multipliers: Rules, steps: int) -> Trainer:
    """A new network, compiled with Adam, a cosine to zero over the steps, and these multipliers."""
    import keras

    from layerwise.keras import LRMultiplier

    model = network(seed=0)
    optimizer = LRMultiplier(keras.optimizers.Adam(), multipliers, schedule=cosine(steps))
    optimizer.build(model.trainable_variables)
    model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    new = tuple(keras.ops.convert_to_numpy(variable).copy() for variable in optimizer.variables)
    return Trainer(model, steps, new)


def accuracy(model: Any, weights: Weights, digits: Digits) -> float:
    """The share of digits that the model with these weights takes for what they are."""
    model.set_weights(weights)
    scores = model.predict(digits.images, batch_size=len(digits), verbose=0)
    return float(np.mean(scores.argmax(axis=-1) == digits.labels))
