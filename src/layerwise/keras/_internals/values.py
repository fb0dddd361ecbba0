"""The values of Keras' variables."""

from collections.abc import Sequence
from copy import copy
from typing import Any, Protocol, TypeAlias

import keras
import numpy as np
import numpy.typing as npt
from keras import Variable, ops


class Tensor(Protocol):
    """A tensor of the backend, traced or not, with what Layerwise uses of it."""

    @property
    def shape(self) -> Sequence[int]:
        """The size of each axis."""

    def __add__(self, other: "Tensor | float") -> "Tensor": ...

    def __mul__(self, other: "Tensor | float") -> "Tensor": ...

    def __rmul__(self, other: float) -> "Tensor": ...


Step: TypeAlias = Variable | Tensor | int
"""Optimizer updates already applied: a variable, an integer tensor, or a Python integer."""


def value_of(variable: Variable | Tensor) -> Tensor:
    """The backend's own tensor of a Keras variable."""
    value: Tensor = variable.value if isinstance(variable, Variable) else variable
    return value


def copy_of(variable: Variable | Tensor) -> Tensor:
    """A copy of the present value."""
    copy: Tensor = ops.copy(value_of(variable))
    return copy


def mask_stored(active: Tensor | bool, sparse: Any) -> Tensor:
    """A sparse array of JAX (``BCOO``), or one with zeros stored where it is not active."""
    masked = copy(sparse)  # with what it knows of its indices
    masked.data = ops.where(active, sparse.data, ops.zeros_like(sparse.data))
    result: Tensor = masked
    return result


def number_in(variable: Variable) -> npt.NDArray[np.generic]:
    """The value of a variable as an array, read outside of any step."""
    value = variable.value
    # Keras can't convert what tf.distribute mirrors.
    tensorflow = keras.backend.backend() == "tensorflow"
    array: npt.NDArray[np.generic] = (
        value.numpy() if tensorflow else keras.ops.convert_to_numpy(value)
    )
    return array


def is_traced(tensor: Tensor) -> bool:
    """Whether a function is being compiled that computes this, so that it has no value yet."""
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        return isinstance(tensor, jax.core.Tracer)
    if backend == "tensorflow":
        import tensorflow as tf

        return not tf.executing_eagerly()
    import torch

    compiling: bool = torch.compiler.is_compiling()
    return compiling
