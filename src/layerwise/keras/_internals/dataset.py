"""A ``tf.data.Dataset`` made once more, so that going through it leaves the first one as it was.

A dataset that shuffles has a generator of seeds, which every pass moves on, and one that caches
keeps what the first pass gave. Both are resources that its graph names. In the copy these names
lead nowhere, so TensorFlow makes new ones, from the same seeds.
"""

from typing import Any
from uuid import uuid4

_OWN = ("SeedGenerator", "MemoryCache")
_MOVING = ("shuffle", "cache", "random", "sample")


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
