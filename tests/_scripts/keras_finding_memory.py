"""Trains a network with Keras, searches with it, and reports the memory of both.

python -m tests._scripts.keras_finding_memory MEMORY
"""

import sys
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

import tests._support.memory
from layerwise.finder import LRFinding
from layerwise.keras import find_lr
from tests._support.memory import LAYERS, WIDTH, compare


def make() -> Any:
    layers = [keras.layers.Dense(WIDTH, use_bias=False) for _ in range(LAYERS)]
    model = keras.Sequential([keras.Input((WIDTH,)), *layers])
    model.compile("adam", loss="mse")
    return model


def main(memory: str) -> None:
    backend = keras.backend.backend()
    x = np.random.default_rng(0).normal(size=(16, WIDTH)).astype("float32")
    model = make()

    def train(seen: Callable[[], None]) -> None:
        each = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: seen())
        model.fit(x, x, batch_size=4, verbose=0, callbacks=[each])

    def search(stop: Any) -> LRFinding:
        if backend == "torch":
            model.zero_grad()  # gradients that are there are kept beside the copy
        options: dict[str, Any] = {"steps": 21, "high": 1e-3, "memory": memory, "progress": False}
        return find_lr(model, x, x, batch_size=4, stop=stop, **options)

    compare(train, search, getattr(tests._support.memory, f"{backend}_arrays"))


if __name__ == "__main__":
    main(sys.argv[1])
