"""The parts of TensorFlow, private ones too, that Layerwise leans on under Keras."""

import threading
from contextlib import AbstractContextManager, nullcontext
from typing import Any
from uuid import uuid4

import keras

PROXY_STATE = (
    "_self_last_wrapped_dict_snapshot",
    "_self_external_modification",
    "_self_non_string_key",
)
"""What the proxy that TensorFlow puts around a dict remembers of it, for its checkpoints."""


_OWN = ("SeedGenerator", "MemoryCache")


_MOVING = ("shuffle", "cache", "random", "sample")


def assign_on_replicas(
    optimizer: Any, variables: list[Any], rule: Any, arguments: list[tuple[Any, ...]]
) -> None:
    """On TensorFlow, assign ``rule(variable, *arguments)`` on every replica of each variable."""
    import tensorflow as tf

    def assign(variable: Any, *args: Any) -> None:
        variable.assign(rule(variable, *args))

    def update(distribution: Any, variables: Any, arguments: Any) -> None:
        for variable, args in zip(variables, arguments, strict=True):
            distribution.extended.update(variable, assign, args=args, group=False)

    # What is mirrored is assigned from outside its replicas.
    tf.__internal__.distribute.interim.maybe_merge_call(
        update, optimizer._distribution_strategy, variables, arguments
    )


def replica() -> int:
    """A number for the replica that a step is traced for: tf.distribute has a thread for each."""
    return threading.get_ident() if keras.backend.backend() == "tensorflow" else 0


class ReplicaVariable:
    """One replica's own of a variable, with as much of a Keras variable as a copy needs.

    Args:
        value: TensorFlow's variable on that replica.
    """

    def __init__(self, value: Any) -> None:
        self.value = value
        self.dtype = value.dtype

    def assign(self, value: Any) -> None:
        """Assign it on this replica alone."""
        self.value.assign(value, read_value=False)


def on_each_replica(model: Any, variables: list[Any]) -> list[Any]:
    """The same variables, and in the place of one that is kept on several replicas, each of those.

    Args:
        model: Whose variables they are.
        variables: Keras variables.
    """
    strategy = getattr(model, "distribute_strategy", None)
    if strategy is None:
        return variables
    found: list[Any] = []
    for variable in variables:
        own = strategy.experimental_local_results(variable.value)
        found += [variable] if len(own) == 1 else map(ReplicaVariable, own)
    return found


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


def remade_dataset(dataset: Any) -> Any:
    """The same dataset with random states and caches of its own, or itself if it has none.

    A dataset that can't be copied (a distributed one, or one whose graph is over two gigabytes) is
    returned as it is.
    """
    if not _moves(dataset):
        return dataset
    import tensorflow as tf

    try:
        serialized = dataset._as_serialized_graph(
            external_state_policy=tf.data.experimental.ExternalStatePolicy.IGNORE
        )
        graph = tf.compat.v1.GraphDef.FromString(serialized.numpy())
        for node in graph.node:
            for handle in node.attr["value"].tensor.resource_handle_val:
                if any(kind in handle.maybe_type_name for kind in _OWN):
                    handle.name = f"{handle.name}-{uuid4()}"
        variant = tf.raw_ops.DatasetFromGraph(graph_def=graph.SerializeToString())
        return tf.data.experimental.from_variant(variant, dataset.element_spec)
    except (tf.errors.OpError, AttributeError, ValueError):
        return dataset


def _moves(dataset: Any) -> bool:
    """Whether a pass through the dataset changes the next one."""
    if any(kind in type(dataset).__name__.lower() for kind in _MOVING):
        return True
    inputs = getattr(dataset, "_inputs", None)
    return inputs is not None and any(map(_moves, inputs()))


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


def is_split(array: object) -> bool:
    """Whether it is a batch that is split among replicas."""
    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    return isinstance(array, tf.distribute.DistributedValues)


def is_dataset(x: object) -> bool:
    """Whether it is a ``tf.data.Dataset``; TensorFlow is not imported for that."""
    return any(
        kind.__name__ == "DatasetV2" and kind.__module__.startswith("tensorflow.python.")
        for kind in type(x).__mro__
    )
