"""The private parts of Keras through which ``fit`` takes every kind of data."""

from typing import Any

import keras
from keras.src.trainers.data_adapters import get_data_adapter

data_adapter = get_data_adapter


def map_arrays(function: Any, batch: Any) -> Any:
    """The batch with a function applied to each array in it."""
    return keras.tree.map_structure(function, batch, none_is_leaf=False)


def on_devices(batch: Any) -> Any:
    """On JAX, a batch laid out as ``fit`` would under a ``keras.distribution``."""
    if keras.distribution.distribution() is None:
        return batch
    from keras.src.backend.jax.trainer import _distribute_data

    return _distribute_data(batch)
