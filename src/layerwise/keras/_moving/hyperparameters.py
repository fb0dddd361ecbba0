"""What moves beside the rates: momentum and betas, inside the compiled step.

Keras' optimizers keep them as Python numbers in attributes. While a step is built or run, an
attribute holds the step's value instead.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Self, cast

import keras
import numpy as np
from keras import ops
from keras.optimizers import Optimizer

from layerwise._text import first_few, shown
from layerwise.errors import ConfigError, OptimizerError, ScheduleError
from layerwise.keras._internals.optimizer import own_arguments
from layerwise.keras._internals.values import Step, Tensor
from layerwise.keras._optimizer.step_values import (
    CountsNow,
    evaluate,
    evaluate_on_host,
    prepared,
)
from layerwise.keras._registered_functions import RegisteredFunctions, function_name
from layerwise.multipliers import StepValue, value_from_config, value_to_config
from layerwise.schedules import (
    ByMetric,
    Schedule,
    constant,
    counts_of_start,
    replace_by_metric,
    values_in_advance,
)

_SHARE = re.compile(r"(.*_)?(momentum|rho|beta_\d+)")
"""The names of shares that are kept of an average, which must be below 1; not Ftrl's ``beta``."""

_FIXED = re.compile(r"initial_.*|.*_steps")
"""The names of what can't move, since it is read once, or counts the rounds of a loop."""


@dataclass(frozen=True)
class Hyperparameters:
    """The hyperparameters of an optimizer that move, by the names that they have there.

    Attributes:
        given: The schedules and callables of the step, as they were given.
    """

    given: Mapping[str, StepValue] = field(default_factory=dict)
    _ready: dict[str, StepValue] = field(default_factory=dict, compare=False, repr=False)
    _own: dict[str, float] = field(default_factory=dict, compare=False, repr=False)
    _inside: list[None] = field(default_factory=list, compare=False, repr=False)

    @classmethod
    def of(cls, given: Mapping[str, StepValue] | None, optimizer: Optimizer, plain: type) -> Self:
        """Check what a caller gave for an optimizer.

        Args:
            given: Schedules or callables of the step by the name of the hyperparameter, or None.
            optimizer: The optimizer.
            plain: Its class in Keras.

        Raises:
            OptimizerError: The optimizer has no such number, or doesn't use it.
            ScheduleError: Something given is neither a schedule nor a callable, or is no value of
                the hyperparameter.
        """
        if given is not None and not isinstance(given, Mapping):
            raise OptimizerError(
                f"hyperparameters={shown(given)} must be a mapping from name to schedule, such as "
                '{"momentum": one_cycle(100, start=0.95, peak=0.85, end=0.95)}.'
            )
        made = cls(dict(given or {}))
        known: dict[str, float] = {}
        for name in own_arguments(optimizer, plain):
            own: Any = getattr(optimizer, name, None)
            if type(own) in (int, float) and own >= 0 and not _FIXED.fullmatch(name):
                known[name] = own
        for name, value in made.given.items():
            where, anything = f"hyperparameters[{name!r}]", cast(object, value)
            if not callable(anything) or isinstance(anything, type):
                raise ScheduleError(
                    f"{where}={shown(value)} must be a schedule or a callable of the step; a "
                    f"number goes into {plain.__name__}({name}=...)."
                )
            if name not in known:
                raise OptimizerError(
                    f"{plain.__name__} has no {shown(name)} that can move; it has "
                    f"{first_few(list(known)) if known else 'nothing of the kind'}."
                )
            if known[name] == 0:
                raise OptimizerError(
                    f"{plain.__name__} was made with {name}={known[name]!r}, so that it does "
                    f"without. Make it with any number above 0: the values come from {where}."
                )
            ready = made._ready[name] = prepared(value, f"The {name}")
            if _SHARE.fullmatch(name):
                _check_below_1(ready, name)
        return made

    def __bool__(self) -> bool:
        return bool(self.given)

    def beside(self, inner: Self) -> Self:
        """These, and those of the optimizer that this one was put around.

        Raises:
            OptimizerError: Both move one.
        """
        if both := sorted(self.given.keys() & inner.given.keys()):
            raise OptimizerError(
                f"Two LRMultipliers around one optimizer both move its {both[0]}. Leave one out."
            )
        # The inner one's prepared values read variables of the inner optimizer, so not those.
        ready = {name: prepared(value, f"The {name}") for name, value in inner.given.items()}
        return type(self)({**inner.given, **self.given}, {**ready, **self._ready})

    def changed(self, change: Callable[[StepValue], StepValue]) -> Self:
        """These, with each value that an update uses replaced."""
        ready = {name: change(value) for name, value in self._ready.items()}
        return type(self)(self.given, ready)

    @contextmanager
    def at(self, optimizer: Optimizer, step: Step, counts: CountsNow) -> Iterator[None]:
        """While the block runs, the optimizer has the values of this step."""
        if not self.given:
            yield
            return
        # All replicas of a tf.distribute strategy are in here at once; the last one clears up.
        if not self._inside:
            self._own.update({name: getattr(optimizer, name) for name in self._ready})
        self._inside.append(None)
        try:
            for name, value in self._ready.items():
                now = _usable(evaluate(value, step, counts))
                object.__setattr__(optimizer, name, now)  # Keras would track it
            yield
        finally:
            self._inside.pop()
            if not self._inside:
                for name, own in self._own.items():
                    object.__setattr__(optimizer, name, own)

    def now(self, step: int, counts: Mapping[str, int]) -> dict[str, float]:
        """The values at a known step."""
        return {name: evaluate_on_host(value, step, counts) for name, value in self._ready.items()}

    def to_config(self) -> dict[str, object]:
        """The schedules as plain data."""
        return {
            name: value_to_config(value, function_name, f"The {name}")
            for name, value in self.given.items()
        }

    @staticmethod
    def from_config(config: object) -> dict[str, Any]:
        """What ``to_config`` was made of, as a caller would give it.

        Raises:
            ConfigError: The data can't be read.
        """
        if not isinstance(config, Mapping):
            raise ConfigError(f"{shown(config)} is no config of hyperparameters.")
        functions = RegisteredFunctions()
        return {str(name): value_from_config(data, functions) for name, data in config.items()}


class MovingNumber:
    """A hyperparameter's value at a step that may be traced.

    It computes as its tensor does. But where an optimizer asks whether it is used at all, as in
    ``if self.momentum != 0``, it answers as the number above 0 that the optimizer was made with:
    that decides which state there is, and can't be traced.
    """

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor

    @property
    def dtype(self) -> object:
        tensor: Any = self.tensor
        found: object = tensor.dtype
        return found

    @property
    def shape(self) -> object:
        return self.tensor.shape

    def __jax_array__(self) -> Any:
        return self.tensor

    def __tf_tensor__(self, dtype: Any = None, name: str | None = None) -> Any:
        del name
        return self.tensor if dtype is None else ops.cast(self.tensor, dtype.name)

    def __bool__(self) -> bool:
        return True

    def __hash__(self) -> int:
        return id(self)

    def __eq__(self, other: object) -> bool:
        return self is other

    def __gt__(self, other: object) -> bool:
        return _is_zero(other)

    def __lt__(self, other: object) -> bool:
        return not _is_zero(other)

    __ge__, __le__ = __gt__, __lt__

    def __add__(self, other: Any) -> Any:
        return self.tensor + other

    def __radd__(self, other: Any) -> Any:
        return other + self.tensor

    def __sub__(self, other: Any) -> Any:
        return self.tensor - other

    def __rsub__(self, other: Any) -> Any:
        return other - self.tensor

    def __mul__(self, other: Any) -> Any:
        return self.tensor * other

    def __rmul__(self, other: Any) -> Any:
        return other * self.tensor

    def __truediv__(self, other: Any) -> Any:
        return self.tensor / other

    def __rtruediv__(self, other: Any) -> Any:
        return other / self.tensor

    def __pow__(self, other: Any) -> Any:
        return self.tensor**other

    def __rpow__(self, other: Any) -> Any:
        return other**self.tensor

    def __neg__(self) -> Any:
        return -1.0 * self.tensor


class UsedNumber(float):
    """A 0 that, like ``MovingNumber``, answers as if it were above 0; where nothing is traced."""

    def __bool__(self) -> bool:
        return True

    def __hash__(self) -> int:
        return super().__hash__()

    def __eq__(self, other: object) -> bool:
        return self is other

    def __ne__(self, other: object) -> bool:
        return self is not other

    def __gt__(self, other: object) -> bool:
        return _is_zero(other)


def _is_zero(other: object) -> bool:
    return isinstance(other, int | float) and other == 0


def _usable(value: Tensor | float) -> object:
    if isinstance(value, float):
        return value if value != 0 else UsedNumber(value)
    # PyTorch's compiler takes tensors where it takes no objects.
    return value if keras.backend.backend() == "torch" else MovingNumber(value)


def _check_below_1(value: StepValue, name: str) -> None:
    value = replace_by_metric(value, _at_its_highest)
    found = values_in_advance(value)
    if found is None:
        found = np.array([evaluate_on_host(value, 0, counts_of_start([value]))])
    if np.max(found) >= 1:
        place = int(np.argmax(found >= 1))
        raise ScheduleError(
            f"The {name} is {float(found[place])} at step {place}; it must be below 1."
        )


def _at_its_highest(schedule: ByMetric) -> Schedule:
    """A constant in place of a schedule that a metric moves: the highest value that it may have."""
    return constant(max(schedule.table()[schedule.fired :] or [schedule.after(schedule.fired)]))
