"""The operations of ``Namespace`` for Python's numbers, NumPy and JAX.

See ``_namespace.py`` for what each operation means.
"""

import bisect
import math
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

__all__ = ["INT64_MAX", "JaxArrays", "NumPyArrays", "PlainNumbers", "fitting"]

INT32_MAX = 2**31 - 1
INT64_MAX = 2**63 - 1


def fitting(ascending: Sequence[int], largest: int | None) -> Sequence[int]:
    """Leave out what the step's integers can't hold: no step ever gets there."""
    return [x for x in ascending if largest is None or x <= largest]


class PlainNumbers:
    """Python's own numbers."""

    largest: int | None

    def __init__(self, step: float) -> None:
        self.step = step
        # Python's integers have no bound; with one, they take the same path as all others.
        self.largest = INT64_MAX if isinstance(step, int) else None

    @staticmethod
    def takes(step: Any) -> bool:
        return True

    def for_user(self, step: Any) -> Any:
        return step

    def real(self, x: Any) -> Any:
        return float(x)

    def integer(self, x: Any) -> Any:
        return math.floor(x) if isinstance(self.step, int) else float(x // 1)

    def number(self, x: Any) -> Any:
        return float(x)

    def where(self, condition: Any, a: Any, b: Any) -> Any:
        return a if condition else b

    def minimum(self, x: Any, bound: Any) -> Any:
        return min(x, bound)

    def maximum(self, x: Any, bound: Any) -> Any:
        return max(x, bound)

    def sin(self, x: Any) -> Any:
        return math.sin(x)

    def sqrt(self, x: Any) -> Any:
        return math.sqrt(x)

    def power(self, base: float, exponent: Any) -> Any:
        try:
            return base**exponent
        except OverflowError:  # arrays give infinity here, so numbers do too
            return math.inf

    def count(self, boundaries: Sequence[int], x: Any) -> Any:
        return bisect.bisect_right(boundaries, x)

    def take(self, values: Sequence[float], index: Any) -> Any:
        return values[index]

    def take_integer(self, values: Sequence[int], index: Any) -> Any:
        return values[index]

    def leave(self, value: Any) -> Any:
        return float(value)


class NumPyArrays:
    """NumPy, and what is spelled the same in JAX."""

    np: Any = np
    largest: int | None

    def __init__(self, step: Any) -> None:
        self.given = step
        self.shape = step.shape
        kind = step.dtype.kind
        if kind in "iub":
            self.working = self.result = np.dtype(np.float64)
            self.largest = INT64_MAX
            self.step = np.asarray(step).astype(np.int64)
        else:
            # NumPy always has float64, so that only the result is rounded to the step's type.
            self.working, self.result = np.dtype(np.float64), step.dtype
            self.largest = None
            self.step = np.asarray(step).astype(np.float64)

    @staticmethod
    def takes(step: Any) -> bool:
        return step.dtype.kind in "iubf"

    def for_user(self, step: Any) -> Any:
        return step

    def real(self, x: Any) -> Any:
        return x.astype(self.working)

    def integer(self, x: Any) -> Any:
        return self.np.floor(x).astype(self.step.dtype)

    def number(self, x: Any) -> Any:
        return self.np.asarray(x, dtype=self.working)

    def where(self, condition: Any, a: Any, b: Any) -> Any:
        return self.np.where(condition, a, b)

    def minimum(self, x: Any, bound: Any) -> Any:
        return self.np.minimum(x, bound)

    def maximum(self, x: Any, bound: Any) -> Any:
        return self.np.maximum(x, bound)

    def sin(self, x: Any) -> Any:
        return self.np.sin(x)

    def sqrt(self, x: Any) -> Any:
        return self.np.sqrt(x)

    def power(self, base: float, exponent: Any) -> Any:
        with np.errstate(over="ignore"):
            return np.power(base, exponent)

    def count(self, boundaries: Sequence[int], x: Any) -> Any:
        table = self.np.asarray(fitting(boundaries, self.largest), dtype=self.step.dtype)
        return self.np.searchsorted(table, x, side="right")

    def take(self, values: Sequence[float], index: Any) -> Any:
        return self.np.asarray(values, dtype=self.working)[index]

    def take_integer(self, values: Sequence[int], index: Any) -> Any:
        table = fitting(values, self.largest)
        return self.np.asarray(table, dtype=self.step.dtype)[index]

    def leave(self, value: Any) -> Any:
        value = np.broadcast_to(value, self.shape).astype(self.result)
        return value[()] if isinstance(self.given, np.generic) else value


class JaxArrays(NumPyArrays):
    """JAX arrays and tracers."""

    def __init__(self, step: Any) -> None:
        jax = sys.modules["jax"]
        self.np = jnp = jax.numpy
        self.shape = step.shape
        if jnp.issubdtype(step.dtype, jnp.integer) or step.dtype == bool:
            wide = jnp.result_type(int)
            self.largest = int(jnp.iinfo(wide).max)
            if step.dtype == jnp.uint32 and wide == jnp.int32:
                step = jnp.minimum(step, jnp.uint32(INT32_MAX))
            self.step = step.astype(wide)
            self.working = self.result = jnp.result_type(float)
        else:
            self.largest = None
            self.result = step.dtype
            # Half precision can't even count to 10,000: work in float32, round at the end.
            self.working = jnp.promote_types(step.dtype, jnp.float32)
            self.step = step.astype(self.working)

    @staticmethod
    def takes(step: Any) -> bool:
        jnp = sys.modules["jax"].numpy
        kinds = (jnp.integer, jnp.floating, jnp.bool_)
        return any(jnp.issubdtype(step.dtype, kind) for kind in kinds)

    def power(self, base: float, exponent: Any) -> Any:
        return self.np.exp(exponent * math.log(base))

    def leave(self, value: Any) -> Any:
        return self.np.broadcast_to(value, self.shape).astype(self.result)
