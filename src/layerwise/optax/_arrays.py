"""Multipliers that are arrays: a number for each row, channel or stacked layer of a leaf."""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import jax
import numpy as np
import numpy.typing as npt

from layerwise.errors import MultiplierError
from layerwise.multipliers import AnyStrategy, Override, Rules, Value, named_rules
from layerwise.optax._objects import PathKey, path_key

ArrayValue: TypeAlias = Value | Override | npt.NDArray[np.generic] | jax.Array

ArrayRules: TypeAlias = (
    Mapping[str, ArrayValue]
    | Mapping[str | PathKey, ArrayValue]
    | tuple[str | PathKey, ArrayValue]
    | AnyStrategy
    | Sequence["ArrayRules"]
)
"""Rules, in which a key may also be a path, and a multiplier an array that broadcasts against its
leaf."""


class ArrayMultiplier:
    """An array as a multiplier; to all who ask for one number it is the largest in it.

    Args:
        values: The array.
        key: The key of its rule.

    Raises:
        MultiplierError: It holds anything but finite numbers of at least 0.
    """

    def __init__(self, values: object, key: str) -> None:
        given = np.asarray(values)
        if given.dtype.kind not in "fiu" and "float" not in str(given.dtype):
            raise _refused(key, f"an array of {given.dtype}")
        numbers = np.asarray(given, np.float64)
        if not numbers.size or not np.isfinite(numbers).all() or (numbers < 0).any():
            wrong = numbers[~(np.isfinite(numbers) & (numbers >= 0))]
            raise _refused(key, f"an array with {wrong[0]}" if wrong.size else "an empty array")
        self.values = numbers + 0.0  # 0.0 for -0.0
        self.key = key
        low, high = numbers.min(), numbers.max()
        shape = "x".join(map(str, numbers.shape))
        self.__name__ = f"{shape} array" + (f" of {high:g}" if low == high else "")
        if low != high:
            self.__name__ += f", {low:g} to {high:g}"

    def __call__(self, step: object) -> float:
        """The largest multiplier in it, at any step."""
        return float(self.values.max())

    def __repr__(self) -> str:
        return f"<{self.__name__}>"

    def check_fits(self, name: str, shape: tuple[int, ...]) -> None:
        """Raise unless it broadcasts against a leaf, to the leaf's shape.

        Raises:
            MultiplierError: It does not.
        """
        try:
            fits = np.broadcast_shapes(self.values.shape, shape) == shape
        except ValueError:
            fits = False
        if not fits:
            raise MultiplierError(
                f"The rule {self.key!r} has a multiplier of the shape {self.values.shape}, which "
                f"must broadcast against every leaf that it matches, and {name!r} has the shape "
                f"{shape}. Give each such leaf a rule and an array of its own, as "
                "values.reshape(-1, 1, 1) for numbers along the first of three axes."
            )


def checked_rules(rules: ArrayRules | None) -> Rules | None:
    """Rules in which every path has become a key, and every array an ``ArrayMultiplier``."""
    return _with_arrays(named_rules(rules, path_key))


def _with_arrays(rules: Rules | None) -> Rules | None:
    if isinstance(rules, Mapping):
        return {key: _value(value, key) for key, value in rules.items()}
    if isinstance(rules, Sequence) and not isinstance(rules, str | bytes):
        return [_with_arrays(part) or {} for part in rules]
    return rules


def _value(value: object, key: str) -> Value | Override:
    if isinstance(value, np.ndarray | jax.Array) and value.shape != ():
        if isinstance(value, jax.core.Tracer):
            raise _refused(key, "an array that is traced, known only inside of a compiled function")
        return ArrayMultiplier(value, key)
    return value  # type: ignore[return-value]  # the noun checks it


def _refused(key: str, what: str) -> MultiplierError:
    return MultiplierError(
        f"The rule {key!r} has {what} as its multiplier; an array must hold finite numbers of at "
        "least 0."
    )
