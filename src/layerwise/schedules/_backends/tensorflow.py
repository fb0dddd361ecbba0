"""TensorFlow tensors and variables, eager or symbolic."""

import sys
from collections.abc import Sequence
from typing import Any, Protocol

from layerwise.schedules._backends.namespace import INT64_MAX, Array, ArrayNamespace


class _Tensor(Array, Protocol):
    """What is used of a ``tf.Tensor``."""

    @property
    def shape(self) -> Any: ...
    @property
    def dtype(self) -> Any: ...
    def set_shape(self, shape: object, /) -> None: ...


class TensorFlowTensors(ArrayNamespace[_Tensor]):
    """A step that is a tensor or a variable."""

    def __init__(self, step: _Tensor) -> None:
        self.tf = tf = sys.modules["tensorflow"]
        self.where, self.minimum, self.maximum = tf.where, tf.minimum, tf.maximum
        self.sin, self.sqrt, self.exp, self.floor = tf.sin, tf.sqrt, tf.exp, tf.floor
        self.expm1, self.log1p = tf.math.expm1, tf.math.log1p
        self.given = given = tf.convert_to_tensor(step)
        if given.dtype.is_integer or given.dtype.is_bool:
            self.working = self.result = tf.float32
            self.integers, self.largest = tf.int64, INT64_MAX
        else:
            self.result, self.largest = given.dtype, None
            self.working = tf.float64 if given.dtype == tf.float64 else tf.float32
            self.integers = self.working
        self.step = tf.cast(given, self.integers)

    @property
    def takes_many(self) -> bool:
        return self.given.shape.rank == 0 and self.largest is not None

    @staticmethod
    def takes(step: _Tensor) -> bool:
        return step.dtype.is_integer or step.dtype.is_floating or step.dtype.is_bool

    def for_user(self, step: _Tensor) -> _Tensor:
        # TensorFlow's integers don't mix with floats: not even `step / 2.5` works.
        return self.real(step)

    def real(self, x: _Tensor) -> _Tensor:
        return self.tf.cast(x, self.working)

    def integer(self, x: _Tensor) -> _Tensor:
        return self.tf.cast(self.floor(x), self.integers)

    def number(self, x: _Tensor | float) -> _Tensor:
        if self.tf.is_tensor(x):
            return self.tf.cast(x, self.working)
        return self.tf.constant(x, self.working)

    def count(self, boundaries: Sequence[int], x: _Tensor) -> _Tensor:
        passed = self.tf.expand_dims(x, -1) >= self.steps_table(boundaries)
        return self.tf.reduce_sum(self.tf.cast(passed, self.tf.int64), -1)

    def table(self, values: Sequence[float], dtype: object) -> _Tensor:
        return self.tf.constant(values, dtype)

    def pick(self, table: _Tensor, index: _Tensor) -> _Tensor:
        return self.tf.gather(table, index)

    def unstacked(self, value: _Tensor, size: int) -> Sequence[_Tensor]:
        values = self.tf.cast(self.tf.broadcast_to(value, (size,)), self.result)
        parts: Sequence[_Tensor] = self.tf.unstack(values, num=size)
        return parts

    def leave(self, value: _Tensor) -> _Tensor:
        if value.shape != self.given.shape or not value.shape.is_fully_defined():
            value = self.tf.broadcast_to(value, self.tf.shape(self.given))
            value.set_shape(self.given.shape)
        return self.tf.cast(value, self.result)
