"""The parts of TensorFlow under Keras that Layerwise needs, some of them private."""

import random
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING
from uuid import uuid4

import keras
from keras import Variable, ops
from keras.optimizers import Optimizer

from layerwise.keras._internals.values import Tensor

if TYPE_CHECKING:
    import tensorflow as tf

PROXY_STATE = (
    "_self_last_wrapped_dict_snapshot",
    "_self_external_modification",
    "_self_non_string_key",
)
"""What TensorFlow's proxy of a dict remembers about it, for checkpoints."""

# The resources of a dataset that a pass through it changes, and names of the classes with them.
_RESOURCES = ("SeedGenerator", "MemoryCache")
_STATEFUL = ("shuffle", "cache", "random", "sample")


# -- variables of several replicas -----------------------------------------------------------------


def assign_on_replicas(
    optimizer: Optimizer,
    variables: Sequence["tf.Variable"],
    rule: Callable[..., Tensor],
    arguments: Sequence[tuple[object, ...]],
) -> None:
    """Assign ``rule(variable, *arguments)`` on every replica of each variable."""
    import tensorflow as tf

    # The types in quotes: AutoGraph reads these functions again, and knows no name of this one.
    def assign(variable: "tf.Variable", *args: object) -> None:
        variable.assign(rule(variable, *args))

    def update(
        distribution: "tf.distribute.Strategy",
        variables: Sequence["tf.Variable"],
        arguments: Sequence[tuple[object, ...]],
    ) -> None:
        for variable, args in zip(variables, arguments, strict=True):
            distribution.extended.update(variable, assign, args=args, group=False)

    # Mirrored variables are assigned from outside their replicas.
    tf.__internal__.distribute.interim.maybe_merge_call(
        update, optimizer._distribution_strategy, variables, arguments
    )


def after(values: object) -> AbstractContextManager[object]:
    """Let what is computed in the block wait until these tensors, at any depth, are there.

    A step asks for the batch inside, and fails where a dataset of unknown size has ended. What
    needs nothing of the batch would run all the same.
    """
    if keras.backend.backend() != "tensorflow":
        return nullcontext()
    import tensorflow as tf

    parts = tf.nest.flatten(values, expand_composites=True)
    found: AbstractContextManager[object] = tf.control_dependencies(
        [part for part in parts if tf.is_tensor(part)]
    )
    return found


def is_slices(gradient: object) -> bool:
    """Whether it is the sparse gradient of an embedding, ``tf.IndexedSlices``."""
    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    return isinstance(gradient, tf.IndexedSlices)


def only_if(active: Tensor, update: Callable[[], object]) -> None:
    """Run an update in the branch of a graph that runs only where ``active`` is true."""
    import tensorflow as tf

    def yes() -> "tf.Tensor":
        update()
        return tf.constant(0)

    tf.cond(active, yes, lambda: tf.constant(0))


def mask_slices(active: Tensor | bool, slices: "tf.IndexedSlices") -> Tensor:
    """The sparse gradient of an embedding, or zeros where it is not active."""
    values = ops.where(active, slices.values, ops.zeros_like(slices.values))
    masked: Tensor = type(slices)(values, slices.indices, slices.dense_shape)
    return masked


def is_own_variable(value: object) -> bool:
    """Whether it is a variable of TensorFlow itself, that no variable of Keras holds."""
    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    return isinstance(value, tf.Variable)


def replica() -> int:
    """A number for the replica that a step is traced for: tf.distribute has a thread for each."""
    return threading.get_ident() if keras.backend.backend() == "tensorflow" else 0


class ReplicaVariable:
    """The part of a variable on one replica, with as much of a Keras variable as a copy needs.

    Replicas don't always agree: each has its moving averages of a batch normalization, and its part
    of a metric. Read or assigned as one, such a variable would lose the differences.

    Args:
        value: TensorFlow's variable on that replica.
    """

    def __init__(self, value: "tf.Variable") -> None:
        self.value = value
        self.dtype = value.dtype

    def assign(self, value: Tensor) -> None:
        """Assign it on this replica alone."""
        self.value.assign(value, read_value=False)


def on_each_replica(
    model: keras.Model, variables: list[Variable]
) -> list[Variable | ReplicaVariable]:
    """The variables of a model, one on several replicas replaced by its parts on each of them."""
    strategy = getattr(model, "distribute_strategy", None)
    if strategy is None:
        return variables
    found: list[Variable | ReplicaVariable] = []
    for variable in variables:
        parts = strategy.experimental_local_results(variable.value)
        found += [variable] if len(parts) == 1 else map(ReplicaVariable, parts)
    return found


def feeds_several_replicas(model: keras.Model) -> bool:
    """Whether each batch is divided among replicas; only on TensorFlow."""
    strategy = getattr(model, "distribute_strategy", None)
    return strategy is not None and strategy.num_replicas_in_sync > 1


def summed_over_replicas(amount: int | Tensor) -> int | Tensor:
    """In a replica of a ``tf.distribute`` strategy, the sum of all replicas' amounts.

    Args:
        amount: A whole number, or a tensor of 32 bits.
    """
    if keras.backend.backend() != "tensorflow":
        return amount
    import tensorflow as tf

    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return amount  # outside of replicas, an amount is that of all of them
    every = tf.convert_to_tensor(amount, tf.int32)
    total: Tensor = context.all_reduce(tf.distribute.ReduceOp.SUM, every)
    return total


def shared_out(
    model: keras.Model, dataset: "tf.data.Dataset | tf.distribute.DistributedDataset"
) -> "tf.distribute.DistributedDataset":
    """A dataset whose batches are divided among the model's replicas."""
    import tensorflow as tf

    if isinstance(dataset, tf.distribute.DistributedDataset):
        return dataset
    return model.distribute_strategy.experimental_distribute_dataset(dataset)


def where_fit_builds(model: keras.Model) -> AbstractContextManager[object]:
    """The scope of a model's strategy, in which variables are made on all replicas."""
    strategy = getattr(model, "distribute_strategy", None)
    scope: AbstractContextManager[object] = nullcontext() if strategy is None else strategy.scope()
    return scope


# -- datasets --------------------------------------------------------------------------------------


def remade_dataset(dataset: "tf.data.Dataset") -> "tf.data.Dataset":
    """A copy of a dataset, so that a pass through the copy leaves the dataset as it was.

    A dataset that shuffles has a generator of seeds, which every pass advances; one that caches
    keeps what the first pass gave. Both are resources that the dataset's graph names. In the copy
    the names are new, so TensorFlow makes new resources, from the same seeds.

    Returns:
        The copy; the dataset itself if it has no such resource, or can't be copied (a distributed
        one, or one whose graph is over two gigabytes).
    """
    if not _is_stateful(dataset):
        return dataset
    import tensorflow as tf

    try:
        serialized = dataset._as_serialized_graph(
            external_state_policy=tf.data.experimental.ExternalStatePolicy.IGNORE
        )
        graph = tf.compat.v1.GraphDef.FromString(serialized.numpy())
        for node in graph.node:
            for handle in node.attr["value"].tensor.resource_handle_val:
                if any(kind in handle.maybe_type_name for kind in _RESOURCES):
                    handle.name = f"{handle.name}-{uuid4()}"
        variant = tf.raw_ops.DatasetFromGraph(graph_def=graph.SerializeToString())
        return tf.data.experimental.from_variant(variant, dataset.element_spec)
    except (tf.errors.OpError, AttributeError, ValueError):
        return dataset


def _is_stateful(dataset: "tf.data.Dataset") -> bool:
    """Whether a pass through the dataset changes the next one."""
    if any(kind in type(dataset).__name__.lower() for kind in _STATEFUL):
        return True
    inputs = getattr(dataset, "_inputs", None)
    return inputs is not None and any(map(_is_stateful, inputs()))


# -- random states ---------------------------------------------------------------------------------


def tensorflow_op_seeds() -> random.Random | None:
    """TensorFlow's generator of the seeds of its operations.

    None until a global seed is set; no seed is drawn from it before.
    """
    from tensorflow.python.eager import context

    seeds: random.Random | None = None if context.global_seed() is None else context.context()._rng
    return seeds


def tensorflow_generator() -> "tf.random.Generator | None":
    """The global generator of ``tf.random``, or None if nothing has needed it yet."""
    from tensorflow.python.ops import stateful_random_ops

    return stateful_random_ops.global_generator


def is_split(array: object) -> bool:
    """Whether it is a batch that is split among replicas."""
    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    return isinstance(array, tf.distribute.DistributedValues)


def is_dense_tensor(array: object) -> bool:
    """Whether it is a tensor of TensorFlow that is neither sparse nor ragged nor split."""
    import tensorflow as tf

    return isinstance(array, tf.Tensor)


def is_dataset(x: object) -> bool:
    """Whether it is a ``tf.data.Dataset``; TensorFlow is not imported for that."""
    return any(
        kind.__name__ == "DatasetV2" and kind.__module__.startswith("tensorflow.python.")
        for kind in type(x).__mro__
    )
