"""Trains under the Keras backend of this process and saves every weight at every step."""

import sys
from typing import Any

import keras
import numpy as np

from layerwise.keras import LRMultiplier
from tests._support.parity import task


def optimizer(name: str) -> Any:
    """The plain Keras optimizer."""
    adam = {"beta_1": task.BETA_1, "beta_2": task.BETA_2, "epsilon": task.EPSILON}
    if name == "sgd":
        return keras.optimizers.SGD(task.RATES[name], momentum=task.MOMENTUM)
    if name == "adam":
        return keras.optimizers.Adam(task.RATES[name], **adam)
    return keras.optimizers.AdamW(task.RATES[name], weight_decay=task.DECAY, **adam)


def trajectory(name: str) -> list[np.ndarray]:
    """Each weight at every step: shape (steps, ...)."""
    x = inputs = keras.Input((6,))
    for layer, (_, outputs) in task.SIZES.items():
        activation = None if layer == "high" else "tanh"
        x = keras.layers.Dense(outputs, activation=activation, name=layer)(x)
    model = keras.Model(inputs, x)
    model.set_weights(task.start())
    model.compile(
        LRMultiplier(optimizer(name), task.RULES, schedule=task.SCHEDULE),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    steps = []
    for batch in task.batches():
        model.train_on_batch(*batch)
        steps.append([np.array(w) for w in model.get_weights()])
    return [np.stack(weights) for weights in zip(*steps, strict=True)]


if __name__ == "__main__":
    found = {
        f"{name}{i}": weights for name in task.RATES for i, weights in enumerate(trajectory(name))
    }
    np.savez(sys.argv[1], **found)
