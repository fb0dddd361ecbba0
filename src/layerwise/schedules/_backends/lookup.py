"""Which array library a step belongs to."""

import sys
from collections.abc import Mapping
from typing import Any

import numpy as np

from layerwise._text import shown
from layerwise.errors import ScheduleError
from layerwise.schedules._backends.jax import JaxArrays
from layerwise.schedules._backends.namespace import Namespace
from layerwise.schedules._backends.numpy import NumPyArrays
from layerwise.schedules._backends.plain import PlainNumbers
from layerwise.schedules._backends.tensorflow import TensorFlowTensors
from layerwise.schedules._backends.torch import TorchTensors

_FRAMEWORKS: tuple[tuple[str, str, type[Any]], ...] = (
    ("jax", "Array", JaxArrays),
    ("torch", "Tensor", TorchTensors),
    ("tensorflow", "Tensor", TensorFlowTensors),
    ("tensorflow", "Variable", TensorFlowTensors),
)


def namespace_of(step: object) -> Namespace[Any]:
    """Make the namespace for a step.

    Args:
        step: A Python number, a NumPy scalar or array, a JAX array or tracer, a Torch tensor, a
            TensorFlow tensor or variable (eager or symbolic), or a Keras variable.

    Raises:
        ScheduleError: If it is none of these, or holds no real numbers.
    """
    if _is(step, "keras", "Variable"):
        return namespace_of(step.value)  # type: ignore[attr-defined]  # a Keras variable has it
    kind = _kind(step)
    if kind is None or not kind.takes(step):
        raise ScheduleError(
            "A schedule takes the number of updates applied so far: a number, or an array of "
            f"numbers from NumPy, JAX, PyTorch or TensorFlow; got {shown(step)}."
        )
    namespace: Namespace[Any] = kind(step)
    return namespace


def namespaces_of(values: Mapping[str, object]) -> dict[str, Namespace[Any]]:
    """Make namespaces for a step and for counts that are computed with together.

    Args:
        values: The step and the counts by name: arrays of one library and shape. Numbers may stand
            beside arrays.

    Raises:
        ScheduleError: If they can't be computed with together.
    """
    found = {name: namespace_of(value) for name, value in values.items()}
    arrays = {name: xp for name, xp in found.items() if not _is_single(values[name])}
    if not arrays:
        if len({type(xp) for xp in found.values()}) == 1:
            return found
        return {name: PlainNumbers(_item(value)) for name, value in values.items()}
    first = next(iter(arrays.values()))
    shapes = {name: tuple(getattr(values[name], "shape", ())) for name in arrays}
    if len(set(shapes.values())) > 1 or len({type(xp) for xp in arrays.values()}) > 1:
        raise ScheduleError(
            "The step and the counts must be arrays of one library and of one shape, got "
            + ", ".join(f"{name} {type(values[name]).__name__}{shapes[name]}" for name in arrays)
            + "."
        )
    for name in found.keys() - arrays.keys():
        found[name] = namespace_of(_filled(first, _item(values[name])))
    return found


def _is_single(value: object) -> bool:
    return isinstance(value, (int, float, np.generic))


def _item(value: Any) -> float:
    number: float = value.item() if isinstance(value, np.generic) else value
    return number


def _filled(xp: Namespace[Any], number: float) -> object:
    """An array like the step of a namespace, of one number."""
    zero = xp.minimum(xp.maximum(xp.step, 0), 0)  # inf * 0 is NaN
    if isinstance(number, int):
        if xp.largest is None or abs(number) <= xp.largest:
            return zero + number
        number = float(number)
    return xp.real(zero) + number


def _kind(step: object) -> type[Any] | None:
    if isinstance(step, (np.generic, np.ndarray)):  # first: its float64 is a Python float, too
        return NumPyArrays
    if isinstance(step, (int, float)):
        return PlainNumbers
    return next((kind for module, name, kind in _FRAMEWORKS if _is(step, module, name)), None)


def _is(value: object, module: str, name: str) -> bool:
    # A module can be there without its names while it is being imported.
    return isinstance(value, getattr(sys.modules.get(module), name, ()))
