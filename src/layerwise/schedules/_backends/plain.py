"""Python's own numbers."""

import math
from bisect import bisect_right
from collections.abc import Sequence

from layerwise.schedules._backends.namespace import INT64_MAX, Mask, Namespace


class PlainNumbers(Namespace[float]):
    """A step that is an ``int`` or a ``float``."""

    def __init__(self, step: float) -> None:
        self.minimum, self.maximum, self.sin, self.sqrt = min, max, math.sin, math.sqrt
        self.expm1, self.log1p = math.expm1, math.log1p
        # Python's integers have no bound; with one, they take the same path as all others.
        self.step, self.largest = step, INT64_MAX if isinstance(step, int) else None

    @staticmethod
    def takes(step: float) -> bool:
        return isinstance(step, int) or not math.isnan(step)

    def real(self, x: float) -> float:
        return float(x)

    def integer(self, x: float) -> float:
        return math.floor(x) if isinstance(self.step, int) else float(x // 1)

    def number(self, x: float) -> float:
        return float(x)

    def where(self, condition: Mask, a: float, b: float) -> float:
        return a if condition else b

    def power(self, base: float, exponent: float) -> float:
        try:
            return float(base**exponent)
        except OverflowError:  # arrays give infinity here, so numbers do too
            return math.inf

    def count(self, boundaries: Sequence[int], x: float) -> int:
        return bisect_right(boundaries, x)

    def take(self, values: Sequence[float], index: float) -> float:
        return values[int(index)]

    def take_integer(self, values: Sequence[int], index: float) -> int:
        return values[int(index)]

    def leave(self, value: float) -> float:
        return float(value)
