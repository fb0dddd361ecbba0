"""By what each variable's learning rate is multiplied at one step.

A plan gives every variable a value: a number, a schedule, or a callable of the step. Here they
become what an update needs: Python numbers where nothing moves, tensors of the optimizer's own
step where something does, evaluated once for each distinct value and step.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import keras
import numpy as np
from keras import ops

from layerwise._unfolded import unfolded
from layerwise.errors import MultiplierError
from layerwise.schedules import Schedule, from_function

_FEW_STEPS = 2**22

Value = float | Schedule | Callable[[Any], Any]


class StepFunction:
    """A callable of the user's, as every backend can call it, eagerly or traced.

    It gets the step as a ``float32`` tensor, so that the arithmetic of every backend takes it,
    and gives one.

    Args:
        function: A callable of the step.
        place: Whose multiplier it is, for errors.
    """

    def __init__(self, function: Callable[[Any], Any], place: str) -> None:
        self.function = function
        self.place = place
        self.__name__ = getattr(function, "__name__", type(function).__name__)

    def __call__(self, step: Any) -> Any:
        # What falls below 0 would climb the loss; it freezes instead.
        return ops.maximum(self.unbounded(step), 0.0)

    def unbounded(self, step: Any) -> Any:
        """The function's own value."""
        try:
            result = self.function(ops.cast(ops.convert_to_tensor(step), "float32"))
            return ops.cast(ops.convert_to_tensor(result), "float32")
        except Exception as error:
            raise MultiplierError(
                f"The multiplier of {self.place!r} failed: {error}\nIt is called with the step as "
                "a float32 tensor, traced where the backend compiles, and returns a number or "
                "scalar tensor: keras.ops has the arithmetic, and keras.ops.where for an `if`."
            ) from error


def evaluate(value: Value, iterations: Any) -> Any:
    """The value at a step that may be traced: a Python float, or a tensor of ``floatx``.

    Args:
        value: A number, a schedule, or a function of the step.
        iterations: Optimizer updates already applied: an integer tensor or variable.

    Returns:
        A Python float for a number, and on Torch wherever nothing is compiled; otherwise a scalar
        tensor.
    """
    if isinstance(value, float):
        return value
    step = ops.convert_to_tensor(iterations)
    if _runs_on_host():
        return evaluate_on_host(value, int(step))
    return ops.cast(value(step), keras.backend.floatx())


def evaluate_on_host(value: Value, step: int) -> float:
    """The value at a known step, as a Python float."""
    if isinstance(value, float):
        return value
    with outside_of_graphs():
        result = value(step)
        return result if isinstance(result, float) else float(ops.convert_to_numpy(result))


def _runs_on_host() -> bool:
    """Torch runs line by line, unless its compiler is reading: a number there would be a guard."""
    if keras.backend.backend() != "torch":
        return False
    import torch

    return not torch.compiler.is_compiling()


def outside_of_graphs() -> AbstractContextManager[Any]:
    """TensorFlow builds an optimizer while it traces; what is done here is done now, once."""
    if keras.backend.backend() != "tensorflow":
        return nullcontext()
    import tensorflow as tf

    scope: AbstractContextManager[Any] = tf.init_scope()
    return scope


def _may_be_0(value: Value) -> bool:
    """Whether a multiplier may be 0 at some step; what never is need not be held back."""
    if isinstance(value, float):
        return value == 0.0
    if not isinstance(value, Schedule) or value.length is None or value.length > _FEW_STEPS:
        return True
    if calls_a_function(value):
        return True  # it may take no array of steps, or only a tensor
    # All its values, as steps are whole; float32 may round what is smaller than this to 0.
    return bool(np.min(value(np.arange(value.length + 1))) < 1e-6)


def calls_a_function(schedule: object) -> bool:
    """Whether a function of the user's is somewhere in the schedule."""
    if isinstance(schedule, tuple):
        return any(map(calls_a_function, schedule))
    return isinstance(schedule, from_function) or (
        isinstance(schedule, Schedule) and any(map(calls_a_function, vars(schedule).values()))
    )


def _kept_apart(factors: list[Any], iterations: Any) -> list[Any]:
    """On JAX, factors that XLA neither folds into each variable's kernel nor computes there."""
    if keras.backend.backend() != "jax":
        return factors
    import jax

    step = ops.convert_to_tensor(iterations)
    moving = [f for f in factors if f is not None]
    if not moving or not isinstance(step, jax.core.Tracer):
        return factors
    known = [ops.convert_to_tensor(f, keras.backend.floatx()) for f in moving]
    apart = iter(unfolded(jax, lambda step, known: known, step, known))
    return [None if f is None else next(apart) for f in factors]


class Factors:
    """The factors of an optimizer's variables while one step is built or run.

    Args:
        values: The multiplier of each variable, in the optimizer's order.
        schedule: A factor for all of them, or None.
    """

    def __init__(self, values: Sequence[Value] = (), schedule: Value | None = None) -> None:
        self.schedule = schedule
        self.values: list[Value] = []
        self._group: list[int] = []
        numbers: dict[object, int] = {}
        for value in values:
            known = value if isinstance(value, float | Schedule) else id(value)
            if known not in numbers:
                numbers[known] = len(self.values)
                self.values.append(value)
            self._group.append(numbers[known])
        self._may_freeze = [_may_be_0(value) for value in self.values]
        self.rate_factor: Any = None
        self.asked = 0
        self.before: dict[int, Any] = {}
        self._depth = 0
        self._active: list[Any] = []
        self._factor: list[Any] = []

    @contextmanager
    def at(self, iterations: Any) -> Iterator[None]:
        """While the block runs, the factors are those of this step."""
        common = None if self.schedule is None else evaluate(self.schedule, iterations)
        multipliers = [evaluate(value, iterations) for value in self.values]
        self._active = [
            True if not may else m != 0.0 if isinstance(m, float) else ops.not_equal(m, 0)
            for m, may in zip(multipliers, self._may_freeze, strict=True)
        ]
        factors = [m if common is None else common * m for m in multipliers]
        factors = [None if isinstance(f, float) and f == 1.0 else f for f in factors]
        self._factor = _kept_apart(factors, iterations)
        # The replicas of a tf.distribute strategy are in here together; the last one clears up.
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
            if not self._depth:
                self._active, self._factor, self.before = [], [], {}

    @property
    def all_active(self) -> bool:
        """Whether every variable trains at this step, as far as it can be known."""
        return all(a is True for a in self._active)

    def frozen_now(self, index: int, iterations: Any) -> bool:
        """Whether the variable is known to be frozen, at a step that is not traced."""
        value = self.values[self._group[index]]
        if isinstance(value, float) or self._depth:  # within a step, what moves is held apart
            return value == 0.0
        return not evaluate_on_host(value, int(ops.convert_to_numpy(iterations))) > 0

    def active(self, index: int) -> Any:
        """True: it trains; False: frozen at this step; a boolean tensor: the step decides."""
        return self._active[self._group[index]]

    def factor(self, index: int) -> Any:
        """What the variable's learning rate is multiplied by; None for 1."""
        self.asked += 1
        return self._factor[self._group[index]]

    def key(self, index: int) -> object:
        """Equal for variables whose factors are equal, as far as it can be known."""
        factor = self._factor[self._group[index]]
        return factor if factor is None or isinstance(factor, float) else self._group[index]

    @contextmanager
    def rate_times(self, factor: Any) -> Iterator[None]:
        """While the block runs, the optimizer's own learning rate is this many times as high."""
        self.rate_factor = factor
        try:
            yield
        finally:
            self.rate_factor = None
