"""Which array library a step belongs to."""

import sys
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


def _kind(step: object) -> type[Any] | None:
    if isinstance(step, (np.generic, np.ndarray)):  # first: its float64 is a Python float, too
        return NumPyArrays
    if isinstance(step, (int, float)):
        return PlainNumbers
    return next((kind for module, name, kind in _FRAMEWORKS if _is(step, module, name)), None)


def _is(value: object, module: str, name: str) -> bool:
    # A module can be there without its names while it is being imported.
    return isinstance(value, getattr(sys.modules.get(module), name, ()))
