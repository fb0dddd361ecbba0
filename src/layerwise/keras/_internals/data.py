"""The private parts of Keras through which ``fit`` takes every kind of data."""

from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from types import GeneratorType
from typing import Any

import keras
import numpy as np
from keras.src.trainers.data_adapters import get_data_adapter
from keras.src.trainers.data_adapters.data_adapter import DataAdapter

from layerwise.keras._internals.tensorflow import (
    feeds_several_replicas,
    is_dense_tensor,
    is_split,
    shared_out,
)


def adapter_for(x: object, **options: Any) -> DataAdapter:
    """The adapter through which ``fit`` takes such data.

    Args:
        x: The data.
        **options: The other arguments of ``fit`` that say what the data are.

    Raises:
        ValueError: Keras takes no such data, or a generator gives no batch.
    """
    if isinstance(x, GeneratorType):
        # Keras 3.10 looks into the first batch without asking whether there is one.
        try:
            x = _resumed(next(x), x)
        except StopIteration:
            raise ValueError("The generator must yield at least one batch.") from None
    return get_data_adapter(x, **options)


def _resumed(first: object, others: Iterator[object]) -> Iterator[object]:
    # Through a chain: "yield from others" would close the user's generator with this one.
    yield from chain([first], others)


def map_leaves(function: Callable[[Any], object], batch: object) -> object:
    """The batch with a function applied to each array in it."""
    return keras.tree.map_structure(lambda a: None if a is None else function(a), batch)


def batches_for_training(adapter: DataAdapter, model: keras.Model) -> Iterator[object]:
    """The batches of one pass, in the form that a train function takes.

    Args:
        adapter: Takes the data, as ``adapter_for`` returned it.
        model: The model that is to train on them.
    """
    backend = keras.backend.backend()
    if backend == "jax":
        return map(_on_devices, adapter.get_jax_iterator())
    if backend == "torch":
        return iter(adapter.get_torch_dataloader())
    if feeds_several_replicas(model):
        return iter(shared_out(model, adapter.get_tf_dataset()))
    if hasattr(adapter, "_dataset"):
        return iter(adapter.get_tf_dataset())
    return (map_leaves(_as_tensor, batch) for batch in adapter.get_numpy_iterator())


def indexable(batch: object) -> object:
    """A batch whose dense arrays can be indexed by arrays of NumPy, to take examples from it."""
    if keras.backend.backend() != "tensorflow":
        return batch
    return map_leaves(lambda a: a.numpy() if is_dense_tensor(a) else a, batch)


def for_training(batch: object) -> object:
    """A batch that a search has put together, in the form that a train function takes."""
    if keras.backend.backend() == "jax":
        return _on_devices(batch)
    return map_leaves(_as_tensor, batch)


def joined(arrays: Sequence[Any]) -> object:
    """Arrays joined along their first axis, on the host if all of them are there."""
    on_host = all(isinstance(array, np.ndarray) for array in arrays)
    return np.concatenate(arrays) if on_host else keras.ops.concatenate(arrays)


def can_be_joined(model: keras.Model, batch: object) -> bool:
    """Whether single examples can be taken from such a batch, and put into smaller ones.

    Its arrays are dense and whole, and the model takes batches of any size.
    """
    leaves = [array for array in keras.tree.flatten(batch) if array is not None]
    inputs = getattr(model, "inputs", None)  # which may be anything in a class of the user's
    given = inputs if isinstance(inputs, list | tuple) else ()
    any_size = all(getattr(tensor, "shape", ())[:1] in ((), (None,)) for tensor in given)
    return any_size and not feeds_several_replicas(model) and all(map(_is_dense, leaves))


def on_one_replica(batch: object) -> object:
    """The batch, or what one replica gets of it if it is split among several."""
    return map_leaves(lambda array: array.values[0] if is_split(array) else array, batch)


def stop_workers(adapter: DataAdapter) -> bool:
    """Stop the workers of a ``PyDataset``; returns whether there are any."""
    workers = getattr(adapter, "enqueuer", None)
    if workers is not None:
        workers.stop()
    return workers is not None


def can_be_shuffled(x: object) -> bool:
    """Whether ``fit`` shuffles such data; of other data it would warn."""
    if isinstance(x, keras.utils.PyDataset):
        return x.num_batches is not None
    leaves = keras.tree.flatten(x)
    return not isinstance(x, GeneratorType) and all(hasattr(leaf, "shape") for leaf in leaves)


def _is_dense(array: object) -> bool:
    if keras.backend.backend() == "tensorflow":
        return isinstance(array, np.ndarray) or is_dense_tensor(array)
    sparse = hasattr(array, "todense") or getattr(array, "is_sparse", False)
    return isinstance(array, np.ndarray) or (keras.ops.is_tensor(array) and not sparse)


def _as_tensor(array: object) -> object:
    return keras.ops.convert_to_tensor(array) if isinstance(array, np.ndarray) else array


def _on_devices(batch: object) -> object:
    """A batch laid out as ``fit`` would on JAX, under a ``keras.distribution``."""
    if keras.distribution.distribution() is None:
        return batch
    from keras.src.backend.jax.trainer import _distribute_data

    return _distribute_data(batch)
