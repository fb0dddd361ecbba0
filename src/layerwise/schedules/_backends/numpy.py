"""NumPy arrays and scalars."""

from collections.abc import Sequence
from types import ModuleType
from typing import Any, Protocol, Self, TypeVar

import numpy as np
import numpy.typing as npt

from layerwise.schedules._backends.namespace import INT64_MAX, Array, ArrayNamespace


class Typed(Array, Protocol):
    """An array as NumPy and JAX have them."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> object: ...
    def astype(self, dtype: Any, /) -> Self: ...
    def __getitem__(self, index: Any, /) -> Any: ...


T = TypeVar("T", bound=Typed)


class NumPyLike(ArrayNamespace[T]):
    """What NumPy and JAX spell alike."""

    def __init__(self, library: ModuleType, shape: tuple[int, ...]) -> None:
        self.library, self.shape = library, shape
        self.where, self.minimum, self.maximum = library.where, library.minimum, library.maximum
        self.sin, self.sqrt = library.sin, library.sqrt
        self.exp, self.floor = library.exp, library.floor
        self.expm1, self.log1p = library.expm1, library.log1p

    def real(self, x: T) -> T:
        return x.astype(self.working)

    def integer(self, x: T) -> T:
        return self.floor(x).astype(self.integers)

    def number(self, x: T | float) -> T:
        return self.library.asarray(x, dtype=self.working)

    def count(self, boundaries: Sequence[int], x: T) -> T:
        return self.library.searchsorted(self.steps_table(boundaries), x, side="right")

    def table(self, values: Sequence[float], dtype: object) -> T:
        return self.library.asarray(values, dtype=dtype)

    def pick(self, table: T, index: T) -> T:
        return table[index]

    def unstacked(self, value: T, size: int) -> Sequence[T]:
        values = self.library.broadcast_to(value, (size,)).astype(self.result)
        return [values[place] for place in range(size)]

    def leave(self, value: T) -> T:
        return self.library.broadcast_to(value, self.shape).astype(self.result)


class NumPyArrays(NumPyLike[npt.NDArray[Any]]):
    """A step that is a NumPy array, or a scalar such as ``np.int64(3)``."""

    warns = True

    def __init__(self, step: npt.NDArray[Any] | np.generic) -> None:
        super().__init__(np, step.shape)
        self.scalar = isinstance(step, np.generic)
        # NumPy always has float64, so only the result is rounded to the step's type.
        self.working = np.dtype(np.float64)
        if step.dtype.kind in "iub":
            self.result, self.integers, self.largest = self.working, np.dtype(np.int64), INT64_MAX
        else:
            self.result, self.integers, self.largest = step.dtype, self.working, None
        self.step = np.asarray(step).astype(self.integers)

    @staticmethod
    def takes(step: npt.NDArray[Any] | np.generic) -> bool:
        return step.dtype.kind in "iubf"

    def power(self, base: float, exponent: npt.NDArray[Any]) -> npt.NDArray[Any]:
        with np.errstate(over="ignore"):
            return np.power(base, exponent)

    def leave(self, value: npt.NDArray[Any]) -> npt.NDArray[Any]:
        value = super().leave(value)
        return value[()] if self.scalar else value
