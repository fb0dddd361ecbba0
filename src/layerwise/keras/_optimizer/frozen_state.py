"""What is frozen at a step keeps its state, and its gradient does no harm."""

from typing import Any

import keras
from keras import ops

from layerwise.keras._internals.tensorflow import assign_on_replicas
from layerwise.keras._internals.values import value_of

FrozenState = tuple[Any, Any, Any]
"""A state, its value before the step, and whether it may change: False, or a boolean tensor."""


def mask_gradient(active: Any, gradient: Any) -> Any:
    """The gradient, or zeros where the variable is frozen at this step."""
    if active is True or gradient is None:
        return gradient
    if hasattr(gradient, "values") and hasattr(gradient, "indices"):  # tf.IndexedSlices
        values = ops.where(active, gradient.values, ops.zeros_like(gradient.values))
        return type(gradient)(values, gradient.indices, gradient.dense_shape)
    return ops.where(active, gradient, ops.zeros_like(gradient))


def put_back(optimizer: Any, held: list[FrozenState]) -> None:
    """Give what was frozen at this step the value that it had before."""
    if keras.backend.backend() == "tensorflow":
        if held:
            assign_on_replicas(
                optimizer,
                [value_of(state) for state, _, _ in held],
                lambda state, before, active: ops.where(active, state, before),
                [(before, active) for _, before, active in held],
            )
        return
    for state, before, active in held:
        state.assign(before if active is False else ops.where(active, value_of(state), before))
