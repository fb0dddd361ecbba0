"""PyTorch tensors."""

import sys
from collections.abc import Sequence
from typing import Protocol, Self

from layerwise.schedules._backends.namespace import INT64_MAX, Array, ArrayNamespace


class _Tensor(Array, Protocol):
    """What is used of a ``torch.Tensor``."""

    @property
    def shape(self) -> Sequence[int]: ...
    @property
    def dtype(self) -> object: ...
    @property
    def device(self) -> object: ...
    def is_floating_point(self) -> bool: ...
    def is_complex(self) -> bool: ...
    def to(self, dtype: object, /) -> Self: ...
    def expand(self, shape: Sequence[int], /) -> Self: ...


class TorchTensors(ArrayNamespace[_Tensor]):
    """A step that is a tensor. Whatever is made for it is on its device."""

    def __init__(self, step: _Tensor) -> None:
        self.torch = torch = sys.modules["torch"]
        self.where, self.sin, self.sqrt = torch.where, torch.sin, torch.sqrt
        self.exp, self.floor = torch.exp, torch.floor
        self.expm1, self.log1p = torch.expm1, torch.log1p
        self.shape, self.device = step.shape, step.device
        if step.is_floating_point():
            self.result, self.largest = step.dtype, None
            self.integers = self.working = torch.promote_types(step.dtype, torch.float32)
        else:
            self.working = self.result = torch.get_default_dtype()
            self.integers, self.largest = torch.int64, INT64_MAX
        self.step = step.to(self.integers)

    @property
    def takes_many(self) -> bool:
        # PyTorch's compiler can't follow the recording, and joins equal operations itself.
        single = tuple(self.shape) == () and self.largest is not None
        return single and not self.torch.compiler.is_compiling()

    @staticmethod
    def takes(step: _Tensor) -> bool:
        return not step.is_complex()

    def real(self, x: _Tensor) -> _Tensor:
        return x.to(self.working)

    def integer(self, x: _Tensor) -> _Tensor:
        return self.floor(x).to(self.integers)

    def number(self, x: _Tensor | float) -> _Tensor:
        if isinstance(x, self.torch.Tensor):
            return x.to(self.working)
        return self.torch.full((), x, dtype=self.working, device=self.device)

    def minimum(self, x: _Tensor, bound: float) -> _Tensor:
        return self.torch.clamp(x, max=bound)

    def maximum(self, x: _Tensor, bound: float) -> _Tensor:
        return self.torch.clamp(x, min=bound)

    def count(self, boundaries: Sequence[int], x: _Tensor) -> _Tensor:
        return self.torch.bucketize(x, self.steps_table(boundaries), right=True)

    def table(self, values: Sequence[float], dtype: object) -> _Tensor:
        return self.torch.tensor(values, dtype=dtype, device=self.device)

    def pick(self, table: _Tensor, index: _Tensor) -> _Tensor:
        return self.torch.take(table, index)  # table[index] would wait for the device

    def unstacked(self, value: _Tensor, size: int) -> Sequence[_Tensor]:
        values: Sequence[_Tensor] = self.torch.unbind(value.expand((size,)).to(self.result))
        return values

    def leave(self, value: _Tensor) -> _Tensor:
        return value.expand(self.shape).to(self.result)
