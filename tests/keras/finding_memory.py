"""Trains a network with Keras, searches with it, and reports the memory of both.

python -m tests.keras.finding_memory MEMORY
"""

import sys
from typing import Any

import keras
import numpy as np

import tests.memory
from layerwise.keras import find_lr
from tests.memory import LAYERS, WIDTH, forget_peak, peak, report_memory


def make() -> Any:
    layers = [keras.layers.Dense(WIDTH, use_bias=False) for _ in range(LAYERS)]
    model = keras.Sequential([keras.Input((WIDTH,)), *layers])
    model.compile("adam", loss="mse")
    return model


def main(memory: str) -> None:
    backend = keras.backend.backend()
    arrays = getattr(tests.memory, f"{backend}_arrays")
    x = np.random.default_rng(0).normal(size=(16, WIDTH)).astype("float32")
    model = make()
    trained: list[int] = []
    searched: list[int] = []
    counting = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: trained.append(arrays())
    )
    model.fit(x, x, batch_size=4, verbose=0)
    forget_peak()
    model.fit(x, x, batch_size=4, verbose=0, callbacks=[counting])
    plain = peak()
    if backend == "torch":
        model.zero_grad()  # gradients that are there are kept beside the copy

    def watch(smoothed: Any) -> bool:
        if len(smoothed) % 7 == 0:
            searched.append(arrays())
        return False

    forget_peak()
    found = find_lr(
        model, x, x, batch_size=4, steps=21, high=1e-3, stop=watch, memory=memory, progress=False
    )
    report_memory(
        plain=plain,
        search=peak(),
        arrays=(max(trained), max(searched)),
        probes=len(found.probes),
    )


if __name__ == "__main__":
    main(sys.argv[1])
