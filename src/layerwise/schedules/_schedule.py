"""A schedule: a frozen value that is called with a step."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, fields
from typing import Any, ClassVar, overload

from layerwise.errors import ScheduleError
from layerwise.schedules._backends.namespace import namespace_of
from layerwise.schedules._clock import Clock

__all__ = ["ARROW", "CALL", "TIMES", "Schedule", "arguments_text", "check_schedule"]

_NOTHING: Any = object()

# How tightly the text of a schedule binds, as Python reads it: `a >> b`, then `a * b`, then calls.
ARROW, TIMES, CALL = range(3)


@dataclass(frozen=True, repr=False, eq=False)
class Schedule(ABC):
    r"""A pure function of the step, $s \mapsto f(s)$, that gives a factor on a base rate.

    The step counts the updates applied so far: 0 before the first. A schedule is frozen, hashable
    and equal by value, and it prints as the expression that makes it. Schedules combine:
    ``a >> b`` (a, then b), ``a * b``, ``0.5 * a``, and the methods below.

    Your own shape is a frozen dataclass that derives from this class and has ``evaluate``, or any
    callable in ``from_function``.

    Examples:
        >>> from layerwise.schedules import cosine, warmup
        >>> schedule = warmup(500) >> cosine(9_500)
        >>> schedule(0), schedule(500), schedule(10_000)
        (0.0, 1.0, 0.0)
        >>> schedule
        warmup(500) >> cosine(9500)
        >>> schedule.length
        10000
    """

    # An array times a schedule is a schedule's business, not a loop over the array.
    __array_ufunc__: ClassVar[None] = None

    _binds: ClassVar[int] = CALL

    @abstractmethod
    def evaluate(self, clock: Clock) -> Any:
        """Compute the value, with the clock's operations, as floats of the clock's library.

        Args:
            clock: where we are; ``clock.step`` is the step itself, ``clock.xp`` the operations.
        """

    @property
    def length(self) -> int | None:
        """The number of steps until the schedule has arrived; None if it never does."""
        return None

    @overload
    def __call__(self, step: float) -> float: ...

    @overload
    def __call__(self, step: Any) -> Any: ...

    def __call__(self, step: Any = _NOTHING) -> Any:
        """Give the value at a step, or at every step of an array.

        Args:
            step: updates applied so far, 0 before the first; a number, or an array of any shape
                from NumPy, JAX, PyTorch or TensorFlow, traced or not. Below 0 counts as 0.

        Returns:
            A Python float for a Python number; else an array of the same library and shape:
            floats keep their type, integers give NumPy's float64, or the framework's default.

        Raises:
            ScheduleError: if there is no step, or it isn't a number.

        Examples:
            >>> import numpy as np
            >>> from layerwise.schedules import linear
            >>> linear(4)(1)
            0.75
            >>> linear(4)(np.arange(6)).tolist()
            [1.0, 0.75, 0.5, 0.25, 0.0, 0.0]
        """
        if step is _NOTHING:
            raise ScheduleError(
                "A schedule needs a step: `schedule(step)`. Keras calls what it doesn't know "
                "without one; give it `layerwise.keras.LearningRateSchedule(schedule)`."
            )
        xp = namespace_of(step)
        return xp.leave(self.evaluate(Clock.start(xp)))

    def __len__(self) -> int:
        if self.length is None:
            raise TypeError(f"{self!r} is endless and has no len(); its .length is None")
        return self.length

    def __bool__(self) -> bool:
        return True  # a schedule is something, even an endless one that has no len()

    def then(self, other: "Schedule") -> "_combine.then":
        """Follow this schedule with another: ``a.then(b)`` is ``a >> b``."""
        return _combine.then((self, other))

    def __rshift__(self, other: "Schedule") -> "_combine.then":
        return self.then(other)

    def __rrshift__(self, other: Any) -> "_combine.then":
        raise ScheduleError(f"Only a schedule can come before >> {self!r}, got {other!r}.")

    def __mul__(self, other: "Schedule | float") -> "_combine.product":
        if isinstance(other, Schedule):
            return _combine.product((self, other))
        return _combine.product((self,), other)

    def __rmul__(self, other: float) -> "_combine.product":
        return self * other

    def clamp(self, low: float | None = None, high: float | None = None) -> "_modify.clamp":
        """Keep the value between ``low`` and ``high``. See ``schedules.clamp``."""
        return _modify.clamp(self, low, high)

    def delay(self, steps: int) -> "_modify.delay":
        """Start ``steps`` steps later. See ``schedules.delay``."""
        return _modify.delay(self, steps)

    def repeat(self, times: int | None = None, decay: float = 1.0) -> "_modify.repeat":
        """Start again at the end, ``times`` times in all, or for ever. See ``schedules.repeat``."""
        return _modify.repeat(self, times, decay)

    def scale_steps(self, factor: float) -> "_modify.scale_steps":
        """Take ``factor`` times as many steps. See ``schedules.scale_steps``."""
        return _modify.scale_steps(self, factor)

    def cut(self, steps: int) -> "_modify.cut":
        """Stop after ``steps`` steps and stay there. See ``schedules.cut``."""
        return _modify.cut(self, steps)

    def to_config(self) -> dict[str, Any]:
        """Write the schedule as plain JSON data; ``from_config`` reads it. See ``from_config``."""
        return _config.to_config(self)

    def config_arguments(self) -> dict[str, Any]:
        """Give the arguments that make this schedule, for its config; by default, the fields."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def from_config_arguments(
        cls, arguments: dict[str, Any], functions: Mapping[str, Callable[..., Any]]
    ) -> "Schedule":
        """Make the schedule from the arguments in its config; schedules among them are made.

        Args:
            arguments: what ``config_arguments`` gave.
            functions: the callables by name that the caller of ``from_config`` has given.
        """
        return cls(**arguments)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({arguments_text(self, fields(self))})"

    def _set(self, **values: Any) -> None:
        """Put checked values in place while a frozen schedule is being made."""
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def _inside(self, binds: int) -> str:
        """Give the text with brackets if its surroundings bind more tightly."""
        return repr(self) if self._binds >= binds else f"({self!r})"


def arguments_text(schedule: Schedule, shown: tuple[Field[Any], ...]) -> str:
    """Write the fields as arguments: the first one as it is, others by name unless default."""
    texts = []
    for position, field in enumerate(shown):
        value = getattr(schedule, field.name)
        if position == 0 and not field.kw_only:
            texts.append("" if value is None else f"{value!r}")
        elif field.default is MISSING or value != field.default:
            texts.append(f"{field.name}={value!r}")
    return ", ".join(text for text in texts if text)


def check_schedule(where: str, value: Any) -> None:
    """Say so if ``value`` is no schedule."""
    if not isinstance(value, Schedule):
        hint = "; wrap it: `from_function(f)`" if callable(value) else ""
        raise ScheduleError(f"{where}: needs a schedule here, got {value!r}{hint}.")


# Last, because combinators and configs are made of schedules and need the class above.
from layerwise.schedules import _combine, _config, _modify  # noqa: E402
