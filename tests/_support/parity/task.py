"""One small task for all: data, start weights, rules, schedule, and what runs on it.

Epsilon stands in different places: Keras adds it to the root of the raw second moment, PyTorch
and Optax to that of the corrected one. It is so small here that neither is felt.

Momentum, too: Keras multiplies each gradient by the rate of its own step and then accumulates;
PyTorch and Optax' ``sgd`` accumulate first. With a rate that moves these are two optimizers.
Keras' is the one compared: in Optax by putting the accumulation last, in PyTorch by a momentum
that moves with the ratio of two rates.
"""

import numpy as np

from layerwise import cosine, warmup

STEPS, BATCH = 200, 16
BETA_1, BETA_2, EPSILON, DECAY, MOMENTUM = 0.9, 0.999, 1e-12, 0.01, 0.9
RATES = {"sgd": 0.1, "adam": 0.003, "adamw": 0.003}
RULES = {"low": 0.3, "middle": 0.6, "high": 1.5}
SCHEDULE = warmup(20, start=0.05) >> cosine(STEPS - 20, end=0.01)
SIZES = {"low": (6, 8), "middle": (8, 8), "high": (8, 3)}

Arrays = list[np.ndarray]


def start() -> Arrays:
    """Kernel and bias of each layer, in order, inputs first."""
    rng = np.random.default_rng(7)
    weights = []
    for inputs, outputs in SIZES.values():
        weights.append((rng.normal(size=(inputs, outputs)) / np.sqrt(inputs)).astype("float32"))
        weights.append((0.1 * rng.normal(size=outputs)).astype("float32"))
    return weights


def batches() -> list[tuple[np.ndarray, np.ndarray]]:
    """The batch of each step: inputs of six features and one of three classes."""
    rng = np.random.default_rng(8)
    truth = rng.normal(size=(6, 3))
    inputs = rng.normal(size=(STEPS, BATCH, 6)).astype("float32")
    noise = rng.normal(size=(STEPS, BATCH, 3))
    return [
        (x, (x @ truth + n).argmax(-1).astype("int32")) for x, n in zip(inputs, noise, strict=True)
    ]
