"""Tasks on tables of measures, and a photograph learnt as a function of the place."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from . import _data, _layers
from ._task import Task


def _regress(params: Any, x: Any, y: Any) -> Any:
    return _layers.squared(_layers.through(params, x), y)


def _diagnose(params: Any, x: Any, y: Any) -> Any:
    logits = _layers.through(params, x, jnp.tanh)[:, 0]
    return optax.sigmoid_binary_cross_entropy(logits, y).mean()


def _miles() -> Any:
    features, miles = _data.miles_per_gallon()
    return features, miles / 10


def waves(photograph: str, seed: int, height: float, count: int) -> Any:
    """The colours of a photograph, and so many random waves of the place, and as many shifted."""
    places, colours = _data.picture(photograph)
    frequencies = np.random.default_rng(seed).normal(0, height, (2, count))
    angles = places @ frequencies
    return np.concatenate([np.sin(angles), np.cos(angles)], 1).astype("float32"), colours


TASKS = (
    Task(
        "cancer-tanh", _data.cancer, partial(_layers.chain, sizes=(30, 16, 1), gain=1.0), _diagnose
    ),
    Task("diabetes-dense", _data.diabetes, partial(_layers.chain, sizes=(10, 32, 32, 1)), _regress),
    Task(
        "miles-gelu",
        _miles,
        partial(_layers.chain, sizes=(7, 24, 24, 1)),
        lambda params, x, y: _layers.squared(_layers.through(params, x, jax.nn.gelu), y),
    ),
    Task(
        "photograph",
        partial(waves, "flower.jpg", 0, 3, 24),
        partial(_layers.chain, sizes=(48, 48, 48, 3)),
        _regress,
        batch=64,
    ),
)
