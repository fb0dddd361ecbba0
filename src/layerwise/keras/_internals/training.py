"""The private parts of Keras' training that a search for a rate leans on, all named in this file.

Tried on Keras 3.14 and 3.15:

- ``get_data_adapter`` and its adapters, through which ``fit`` takes every kind of data;
- of a model: ``_symbolic_build``, ``_compile_metrics``, ``_compile_loss``, ``train_function`` and
  ``make_train_function``, ``metrics_variables``, ``_flatten_layers``, on JAX
  ``_purge_model_variables`` and ``_get_jax_state``, on TensorFlow ``distribute_strategy``;
- of an optimizer: ``_iterations``, ``_learning_rate``, ``_accumulated_gradients``, ``_tracker``;
- the generator of seeds that Keras keeps for all random functions without one of their own;
- of TensorFlow: the generator of seeds for its operations, the global generator of
  ``tf.random``, what its proxies of dicts remember, and in ``_remade_dataset.py`` the graph of a
  ``tf.data.Dataset``.
"""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import keras
from keras.src import backend
from keras.src.backend.common import global_state
from keras.src.random.seed_generator import GLOBAL_SEED_GENERATOR
from keras.src.trainers.data_adapters import get_data_adapter

__all__ = [
    "PROXY_STATE",
    "data_adapter",
    "feeds_several_replicas",
    "global_seed_generator",
    "loss_shape",
    "map_arrays",
    "on_devices",
    "parts_built_by_fit",
    "set_global_seed_generator",
    "shared_out",
    "tensorflow_generator",
    "tensorflow_op_seeds",
    "where_fit_builds",
]

PROXY_STATE = (
    "_self_last_wrapped_dict_snapshot",
    "_self_external_modification",
    "_self_non_string_key",
)
"""What the proxy that TensorFlow puts around a dict remembers of it, for its checkpoints."""

data_adapter = get_data_adapter


def map_arrays(function: Any, batch: Any) -> Any:
    """The batch with a function applied to each array in it."""
    return keras.tree.map_structure(function, batch, none_is_leaf=False)


def parts_built_by_fit(model: Any) -> list[Any]:
    """What ``fit`` builds when it first sees data, but for the weights."""
    optimizer = model.optimizer
    found = [optimizer, getattr(optimizer, "inner_optimizer", None)]
    found += [getattr(part, "_multiplied", None) for part in found]
    found += [model._compile_metrics, model._compile_loss]
    found += [getattr(part, "_tracker", None) for part in found]
    return [part for part in found if part is not None]


def loss_shape(model: Any, batch: Any) -> tuple[int, ...] | None:
    """The shape of a model's loss on a batch; None if the model doesn't tell without training."""

    def symbolic(array: Any) -> Any:
        return keras.KerasTensor(array.shape, keras.backend.standardize_dtype(array.dtype))

    x, y, weight = keras.utils.unpack_x_y_sample_weight(map_arrays(symbolic, batch))
    try:
        prediction = backend.compute_output_spec(model, x, training=False)
        loss = backend.compute_output_spec(
            model._compute_loss, x, y, prediction, sample_weight=weight, training=False
        )
        return tuple(loss.shape)
    except Exception:  # the model's own way to train may not need these
        return None


def on_devices(batch: Any) -> Any:
    """On JAX, a batch laid out as ``fit`` would under a ``keras.distribution``."""
    if keras.distribution.distribution() is None:
        return batch
    from keras.src.backend.jax.trainer import _distribute_data

    return _distribute_data(batch)


def feeds_several_replicas(model: Any) -> bool:
    """On TensorFlow, whether each batch is shared out among replicas."""
    strategy = getattr(model, "distribute_strategy", None)
    return strategy is not None and strategy.num_replicas_in_sync > 1


def shared_out(model: Any, dataset: Any) -> Any:
    """On TensorFlow, a dataset whose batches are shared out among the model's replicas."""
    import tensorflow as tf

    if isinstance(dataset, tf.distribute.DistributedDataset):
        return dataset
    return model.distribute_strategy.experimental_distribute_dataset(dataset)


def where_fit_builds(model: Any) -> AbstractContextManager[Any]:
    """On TensorFlow, the scope of the model's strategy: what is made in it, all replicas have."""
    strategy = getattr(model, "distribute_strategy", None)
    scope: AbstractContextManager[Any] = nullcontext() if strategy is None else strategy.scope()
    return scope


def global_seed_generator() -> Any:
    """Keras' generator of seeds for all, or None if nothing has needed it yet."""
    return global_state.get_global_attribute(GLOBAL_SEED_GENERATOR)


def set_global_seed_generator(generator: Any) -> None:
    """Make this, or none, Keras' generator of seeds for all."""
    global_state.set_global_attribute(GLOBAL_SEED_GENERATOR, generator)


def tensorflow_op_seeds() -> Any:
    """TensorFlow's generator of the seeds of its operations: a ``random.Random``.

    There is none, and None comes back, until a global seed is set; nothing is drawn from it then.
    """
    from tensorflow.python.eager import context

    return None if context.global_seed() is None else context.context()._rng


def tensorflow_generator() -> Any:
    """The global generator of ``tf.random``, or None if nothing has needed it yet."""
    from tensorflow.python.ops import stateful_random_ops

    return stateful_random_ops.global_generator
