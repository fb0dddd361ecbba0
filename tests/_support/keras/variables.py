"""Weights and gradients without a model: what an optimizer sees, and nothing else."""

from typing import Any

import keras
import numpy as np
from keras import ops

LAYERS = ("low", "middle", "high")
SHAPES = {"kernel": (4, 3), "bias": (3,)}


def make_variables(constraint: Any = None, seed: int = 0) -> list[Any]:
    """Three layers of a kernel and a bias each, the same for the same seed."""
    rng = np.random.default_rng(seed)
    variables = []
    for layer in LAYERS:
        for name, shape in SHAPES.items():
            with keras.name_scope(layer):
                variable = keras.Variable(rng.normal(size=shape).astype("float32"), name=name)
            variable.constraint = constraint
            variables.append(variable)
    return variables


def make_gradients(step: int) -> list[Any]:
    """The gradients of one step for all six variables."""
    rng = np.random.default_rng(1000 + step)
    return [
        ops.convert_to_tensor(rng.normal(size=shape).astype("float32"))
        for _ in LAYERS
        for shape in SHAPES.values()
    ]


def arrays(variables: list[Any]) -> list[np.ndarray]:
    """Their values now, as NumPy arrays."""
    return [np.array(ops.convert_to_numpy(v)) for v in variables]


def bits(variables: list[Any]) -> list[bytes]:
    """Their values now, to be compared to the last bit (also of -0.0 and NaN)."""
    return [a.tobytes() for a in arrays(variables)]
