"""Which library a step belongs to, and the few operations that a schedule needs from it.

Every formula in this package is written once, in terms of these operations. A framework is only
ever looked up among the modules that are imported already: a value of its type can't exist before.
A namespace is made for one step, since it remembers the step's shape, type and device.
"""

import sys
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from layerwise.errors import ScheduleError
from layerwise.schedules._backends.arrays import JaxArrays, NumPyArrays, PlainNumbers
from layerwise.schedules._backends.tensors import TensorFlowTensors, TorchTensors

__all__ = ["Namespace", "namespace_of"]

_FRAMEWORKS: tuple[tuple[str, str, type[Any]], ...] = (
    ("jax", "Array", JaxArrays),
    ("torch", "Tensor", TorchTensors),
    ("tensorflow", "Tensor", TensorFlowTensors),
    ("tensorflow", "Variable", TensorFlowTensors),
)


class Namespace(Protocol):
    """What a formula may use besides ``+ - * / // %`` and comparisons.

    Each implementation also has ``takes``, which tells whether an array holds real numbers.
    """

    step: Any
    """The step to start from: integers as wide as the framework has them, or floats."""
    largest: int | None
    """The largest constant that fits the step's integers, None where there is no bound."""

    def for_user(self, step: Any) -> Any:
        """Give the step as a function of the user's can compute with it."""

    def real(self, x: Any) -> Any:
        """Give integers (or floats) as floats of the working precision."""

    def integer(self, x: Any) -> Any:
        """Round floats down to the step's integers."""

    def number(self, x: Any) -> Any:
        """Give a plain number, or another array, as an array of floats."""

    def where(self, condition: Any, a: Any, b: Any) -> Any:
        """Choose between two arrays of one type."""

    def minimum(self, x: Any, bound: Any) -> Any:
        """Give the smaller of an array and a plain number or array."""

    def maximum(self, x: Any, bound: Any) -> Any:
        """Give the larger of an array and a plain number or array."""

    def sin(self, x: Any) -> Any:
        """Give the sine of floats."""

    def sqrt(self, x: Any) -> Any:
        """Give the square root of floats."""

    def power(self, base: float, exponent: Any) -> Any:
        """Raise a plain number above 0 to an array of exponents."""

    def count(self, boundaries: Sequence[int], x: Any) -> Any:
        """Say how many of the ascending ``boundaries`` are at most ``x``."""

    def take(self, values: Sequence[float], index: Any) -> Any:
        """Look floats up by index."""

    def take_integer(self, values: Sequence[int], index: Any) -> Any:
        """Look integers up by index."""

    def leave(self, value: Any) -> Any:
        """Bring a result to the shape and the type that the caller expects."""


def namespace_of(step: Any) -> Namespace:
    """Find the namespace of a step.

    Args:
        step: a Python number, a NumPy scalar or array, a JAX array or tracer, a Torch tensor, a
            TensorFlow tensor or variable (eager or symbolic), or a Keras variable.

    Raises:
        ScheduleError: if it is none of these, or holds no real numbers.
    """
    if _is(step, "keras", "Variable"):
        return namespace_of(step.value)
    kind = _kind(step)
    if kind is None or not kind.takes(step):
        raise ScheduleError(
            "A schedule takes the number of updates applied so far: a number, or an array of "
            f"numbers from NumPy, JAX, PyTorch or TensorFlow; got {step!r}."
        )
    namespace: Namespace = kind(step)
    return namespace


def _kind(step: Any) -> type[Any] | None:
    if isinstance(step, (np.generic, np.ndarray)):  # first: its float64 is a Python float, too
        return NumPyArrays
    if isinstance(step, (int, float)):
        return PlainNumbers
    for module, name, kind in _FRAMEWORKS:
        if _is(step, module, name):
            return kind
    return None


def _is(value: Any, module: str, name: str) -> bool:
    # A module can be there without its names while it is being imported.
    return isinstance(value, getattr(sys.modules.get(module), name, ()))
