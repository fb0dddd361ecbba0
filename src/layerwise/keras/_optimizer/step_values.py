"""Multipliers as an update needs them: numbers, or tensors of the optimizer's step."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

import keras
from keras import ops

from layerwise.errors import MultiplierError
from layerwise.keras._internals.values import Step, Tensor
from layerwise.multipliers import StepValue, Value, first_value
from layerwise.schedules import (
    Schedule,
    counters_of,
    counts_of_start,
    values_together,
)


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
    start = counts_of_start([value])
    first_value(usable, what, lambda each, step: evaluate_on_host(_unbounded(each), step, start))
    return usable


def _unbounded(value: StepValue) -> StepValue:
    return value.unbounded if isinstance(value, StepFunction) else value


class CountsNow(Protocol):
    """What is counted beside updates, at present."""

    def on_host(self) -> Mapping[str, int]:
        """The counts by name, as numbers."""

    def for_value(self, value: Schedule) -> Mapping[str, Tensor]:
        """The counts by name, as tensors that may be traced, for a schedule to compute with."""


def evaluate(value: Value, step: Step, counts: CountsNow | None = None) -> Tensor | float:
    """The value at a step that may be traced.

    Args:
        value: A number, a schedule, or a function of the step.
        step: Optimizer updates already applied.
        counts: What else has been counted, if a schedule counts it.

    Returns:
        A Python float for a number, and on PyTorch wherever nothing is compiled; otherwise a scalar
        tensor of ``floatx``.
    """
    if isinstance(value, float | int):
        return float(value)
    step = ops.convert_to_tensor(step)
    counted = counts is not None and bool(counters_of([value]))
    if runs_on_host():
        return evaluate_on_host(value, int(step), counts.on_host() if counts and counted else {})
    if isinstance(value, Schedule) and counts is not None and counted:
        found = value(step, **counts.for_value(value))
    else:
        found = value(step)
    result: Tensor = ops.cast(found, keras.backend.floatx())
    return result


def evaluate_all(
    values: Sequence[Value], step: Step, counts: CountsNow | None = None
) -> list[Tensor | float]:
    """Values at a step, as ``evaluate`` gives them; schedules of one kind are computed together."""
    alike = [
        number
        for number, value in enumerate(values)
        if isinstance(value, Schedule) and not value.counters
    ]
    if runs_on_host() or len(alike) < 2:
        return [evaluate(value, step, counts) for value in values]
    schedules: list[Schedule] = [values[number] for number in alike]  # type: ignore[misc]
    together = values_together(schedules, ops.convert_to_tensor(step))
    found = dict(zip(alike, together, strict=True))
    return [
        ops.cast(found[number], keras.backend.floatx())
        if number in found
        else evaluate(value, step, counts)
        for number, value in enumerate(values)
    ]


def evaluate_on_host(value: Value, step: int, counts: Mapping[str, float] | None = None) -> float:
    """The value at a known step, and at known counts, as a Python float."""
    if isinstance(value, float | int):
        return float(value)
    with outside_of_graphs():
        result = value(step, **(counts or {})) if isinstance(value, Schedule) else value(step)
        return result if isinstance(result, float) else float(ops.convert_to_numpy(result))


def outside_of_graphs() -> AbstractContextManager[None]:
    """Leaves TensorFlow's trace, in which an optimizer is built, to compute something now."""
    if keras.backend.backend() != "tensorflow":
        return nullcontext()
    import tensorflow as tf

    scope: AbstractContextManager[None] = tf.init_scope()
    return scope


def runs_on_host() -> bool:
    """Whether PyTorch runs line by line; its compiler would guard a Python number."""
    if keras.backend.backend() != "torch":
        return False
    import torch

    return not torch.compiler.is_compiling()
