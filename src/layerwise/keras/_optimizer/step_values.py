"""Multipliers as an update needs them: numbers, or tensors of the optimizer's step."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import keras
import numpy as np
from keras import ops

from layerwise.errors import MultiplierError
from layerwise.keras._internals.values import Step, Tensor
from layerwise.multipliers import StepValue, Value, first_value
from layerwise.schedules import Schedule, is_closed_form

_FEW_STEPS = 2**22


class StepFunction:
    """A user's callable of the step, as every backend can call it, eagerly or traced.

    It is called with the step as a ``float32`` tensor, which every backend's arithmetic takes, and
    returns one.

    Args:
        function: A callable of the step.
        what: What its value is, for errors: ``"The multiplier of 'head'"``.
    """

    def __init__(self, function: Callable[[Tensor], Tensor | float], what: str) -> None:
        self.function = function
        self.what = what
        self.__name__ = getattr(function, "__name__", type(function).__name__)

    def __call__(self, step: Step) -> Tensor:
        # A value below 0 would climb the loss; it freezes instead.
        value: Tensor = ops.maximum(self.unbounded(step), 0.0)
        return value

    def unbounded(self, step: Step) -> Tensor:
        """The function's result, which may be below 0."""
        try:
            result = self.function(ops.cast(ops.convert_to_tensor(step), "float32"))
            value: Tensor = ops.cast(ops.convert_to_tensor(result), "float32")
            return value
        except Exception as error:
            raise MultiplierError(
                f"{self.what} failed: {error}\nIt is called with the step as a float32 tensor, "
                "traced where the backend compiles, and must return a number or a scalar tensor: "
                "keras.ops has the arithmetic, and keras.ops.where for an `if`."
            ) from error


def prepared(value: StepValue, what: str) -> Schedule | StepFunction:
    """What moves with the step, ready for an update; tried once, where an error can be read."""
    usable = value if isinstance(value, Schedule) else StepFunction(value, what)
    first_value(usable, what, lambda each, step: evaluate_on_host(_unbounded(each), step))
    return usable


def _unbounded(value: StepValue) -> StepValue:
    return value.unbounded if isinstance(value, StepFunction) else value


def evaluate(value: Value, step: Step) -> Tensor | float:
    """The value at a step that may be traced.

    Args:
        value: A number, a schedule, or a function of the step.
        step: Optimizer updates already applied.

    Returns:
        A Python float for a number, and on PyTorch wherever nothing is compiled; otherwise a scalar
        tensor of ``floatx``.
    """
    if isinstance(value, float | int):
        return float(value)
    step = ops.convert_to_tensor(step)
    if runs_on_host():
        return evaluate_on_host(value, int(step))
    result: Tensor = ops.cast(value(step), keras.backend.floatx())
    return result


def evaluate_on_host(value: Value, step: int) -> float:
    """The value at a known step, as a Python float."""
    if isinstance(value, float | int):
        return float(value)
    with outside_of_graphs():
        result = value(step)
        return result if isinstance(result, float) else float(ops.convert_to_numpy(result))


def outside_of_graphs() -> AbstractContextManager[None]:
    """Leaves TensorFlow's trace, in which an optimizer is built, to compute something now."""
    if keras.backend.backend() != "tensorflow":
        return nullcontext()
    import tensorflow as tf

    scope: AbstractContextManager[None] = tf.init_scope()
    return scope


def may_be_0(value: Value) -> bool:
    """Whether a multiplier may be 0 at some step, so that its variables may freeze."""
    if isinstance(value, float):
        return value == 0.0
    if not isinstance(value, Schedule) or value.length is None or value.length > _FEW_STEPS:
        return True
    if not is_closed_form(value):
        return True  # a user's function may take no array of steps, or only a tensor
    # Steps are whole, so these are all its values; float32 may round a smaller one to 0.
    return bool(np.min(value(np.arange(value.length + 1))) < 1e-6)


def runs_on_host() -> bool:
    """Whether PyTorch runs line by line; its compiler would guard a Python number."""
    if keras.backend.backend() != "torch":
        return False
    import torch

    return not torch.compiler.is_compiling()
