"""The operations of ``Namespace`` for PyTorch and TensorFlow.

See ``_namespace.py`` for what each operation means.
"""

import math
import sys
from collections.abc import Sequence
from typing import Any

from layerwise.schedules._backends.arrays import INT64_MAX, fitting

__all__ = ["TensorFlowTensors", "TorchTensors"]


class TorchTensors:
    """PyTorch tensors, on the step's own device."""

    largest: int | None

    def __init__(self, step: Any) -> None:
        self.torch = torch = sys.modules["torch"]
        self.shape = step.shape
        if step.is_floating_point():
            self.largest = None
            self.result = step.dtype
            self.working = torch.promote_types(step.dtype, torch.float32)
            self.step = step.to(self.working)
        else:
            self.largest = INT64_MAX
            self.working = self.result = torch.get_default_dtype()
            self.step = step.to(torch.int64)

    @staticmethod
    def takes(step: Any) -> bool:
        return not step.is_complex()

    def for_user(self, step: Any) -> Any:
        return step

    def real(self, x: Any) -> Any:
        return x.to(self.working)

    def integer(self, x: Any) -> Any:
        return self.torch.floor(x).to(self.step.dtype)

    def number(self, x: Any) -> Any:
        if isinstance(x, self.torch.Tensor):
            return x.to(self.working)
        return self.torch.full((), x, dtype=self.working, device=self.step.device)

    def where(self, condition: Any, a: Any, b: Any) -> Any:
        return self.torch.where(condition, a, b)

    def minimum(self, x: Any, bound: Any) -> Any:
        return self.torch.clamp(x, max=bound)

    def maximum(self, x: Any, bound: Any) -> Any:
        return self.torch.clamp(x, min=bound)

    def sin(self, x: Any) -> Any:
        return self.torch.sin(x)

    def sqrt(self, x: Any) -> Any:
        return self.torch.sqrt(x)

    def power(self, base: float, exponent: Any) -> Any:
        return self.torch.exp(exponent * math.log(base))

    def count(self, boundaries: Sequence[int], x: Any) -> Any:
        table = self._table(fitting(boundaries, self.largest), self.step.dtype)
        return self.torch.bucketize(x, table, right=True)

    def take(self, values: Sequence[float], index: Any) -> Any:
        return self.torch.take(self._table(values, self.working), index)

    def take_integer(self, values: Sequence[int], index: Any) -> Any:
        table = self._table(fitting(values, self.largest), self.step.dtype)
        return self.torch.take(table, index)  # table[index] would wait for the device

    def leave(self, value: Any) -> Any:
        return value.expand(self.shape).to(self.result)

    def _table(self, values: Sequence[float], dtype: Any) -> Any:
        return self.torch.tensor(values, dtype=dtype, device=self.step.device)


class TensorFlowTensors:
    """TensorFlow tensors and variables, eager or symbolic."""

    largest: int | None

    def __init__(self, step: Any) -> None:
        self.tf = tf = sys.modules["tensorflow"]
        step = tf.convert_to_tensor(step)
        self.given = step
        if step.dtype.is_integer or step.dtype.is_bool:
            self.largest = INT64_MAX
            self.working = self.result = tf.float32
            self.step = tf.cast(step, tf.int64)
        else:
            self.largest = None
            self.result = step.dtype
            self.working = tf.float64 if step.dtype == tf.float64 else tf.float32
            self.step = tf.cast(step, self.working)

    @staticmethod
    def takes(step: Any) -> bool:
        return bool(step.dtype.is_integer or step.dtype.is_floating or step.dtype.is_bool)

    def for_user(self, step: Any) -> Any:
        # TensorFlow's integers don't mix with floats: not even `step / 2.5` works.
        return self.real(step)

    def real(self, x: Any) -> Any:
        return self.tf.cast(x, self.working)

    def integer(self, x: Any) -> Any:
        return self.tf.cast(self.tf.floor(x), self.step.dtype)

    def number(self, x: Any) -> Any:
        if self.tf.is_tensor(x):
            return self.tf.cast(x, self.working)
        return self.tf.constant(x, self.working)

    def where(self, condition: Any, a: Any, b: Any) -> Any:
        return self.tf.where(condition, a, b)

    def minimum(self, x: Any, bound: Any) -> Any:
        return self.tf.minimum(x, bound)

    def maximum(self, x: Any, bound: Any) -> Any:
        return self.tf.maximum(x, bound)

    def sin(self, x: Any) -> Any:
        return self.tf.sin(x)

    def sqrt(self, x: Any) -> Any:
        return self.tf.sqrt(x)

    def power(self, base: float, exponent: Any) -> Any:
        return self.tf.exp(exponent * math.log(base))

    def count(self, boundaries: Sequence[int], x: Any) -> Any:
        table = self.tf.constant(fitting(boundaries, self.largest), self.step.dtype)
        passed = self.tf.expand_dims(x, -1) >= table
        return self.tf.reduce_sum(self.tf.cast(passed, self.tf.int64), -1)

    def take(self, values: Sequence[float], index: Any) -> Any:
        return self.tf.gather(self.tf.constant(values, self.working), index)

    def take_integer(self, values: Sequence[int], index: Any) -> Any:
        table = fitting(values, self.largest)
        return self.tf.gather(self.tf.constant(table, self.step.dtype), index)

    def leave(self, value: Any) -> Any:
        if value.shape != self.given.shape or not value.shape.is_fully_defined():
            value = self.tf.broadcast_to(value, self.tf.shape(self.given))
            value.set_shape(self.given.shape)
        return self.tf.cast(value, self.result)
