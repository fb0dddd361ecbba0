"""Searches rates under the Keras backend of this process and prints what was found."""

from typing import Any

import keras
import numpy as np

from layerwise.keras import find_rates
from tests._support.own_process import report
from tests._support.parity import searched, task


def search(name: str) -> dict[str, Any]:
    """What was found, as plain data."""
    x = inputs = keras.Input((6,))
    for layer, (_, outputs) in task.SIZES.items():
        activation = None if layer == "high" else "tanh"
        x = keras.layers.Dense(outputs, activation=activation, name=layer)(x)
    model = keras.Model(inputs, x)
    model.set_weights(task.start())
    optimizer: Any = (
        keras.optimizers.SGD(1.0)
        if name == "sgd"
        else keras.optimizers.Adam(
            1.0, beta_1=task.BETA_1, beta_2=task.BETA_2, epsilon=task.EPSILON
        )
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss=loss)
    data = [np.concatenate(parts) for parts in zip(*searched.few(), strict=True)]
    options = {"batch_size": task.BATCH, "shuffle": False} | searched.SEARCH
    return find_rates(model, *data, **options).to_config()


if __name__ == "__main__":
    report(**{name: search(name) for name in searched.OPTIMIZERS})
