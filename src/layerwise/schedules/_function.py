"""A callable of the user's as a schedule."""

# A schedule is used like a function and prints as the call that makes it, hence the lower case.
# ruff: noqa: N801

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from layerwise.errors import ConfigError, ScheduleError
from layerwise.schedules._checks import check_text, check_whole
from layerwise.schedules._clock import Clock
from layerwise.schedules._schedule import Schedule

__all__ = ["from_function"]


@dataclass(frozen=True, repr=False)
class from_function(Schedule):
    r"""Any callable of the step as a schedule, so that it combines with others.

    The callable gets the step as it came: a Python number, or an array or traced value of
    whatever library calls the schedule; on TensorFlow always as floats, since its integers don't
    mix with them. Write it without ``if`` on the step if it is to run inside a compiled training
    step. Optax' schedules are such callables.

    Two of them are equal if callable, name and length are.

    Args:
        function: takes the step, gives the factor.
        name: a name to write into configs in place of the callable; ``from_config`` then needs
            ``functions={name: function}``. None: it has no config.
        length: the number of steps until it has arrived, at least 1; it then stays. None: endless.

    Raises:
        ScheduleError: if an argument is not as said above.

    Examples:
        >>> schedule = from_function(lambda step: 1 / (1 + step / 10), name="inverse")
        >>> schedule(10)
        0.5
        >>> schedule.to_config()["schedule"]
        {'name': 'from_function', 'arguments': {'function': 'inverse', 'length': None}}
    """

    function: Callable[[Any], Any]
    name: str | None = None
    length: int | None = None

    def __post_init__(self) -> None:
        if isinstance(self.function, Schedule) or not callable(self.function):
            raise ScheduleError(
                f"from_function: function must be a callable that is no schedule yet, "
                f"got {self.function!r}."
            )
        if self.name is not None:
            check_text("from_function", "name", self.name)
        if self.length is not None:
            self._set(length=check_whole("from_function", "length", self.length))

    def evaluate(self, clock: Clock) -> Any:
        """Compute the value; see ``Schedule.evaluate``."""
        if self.length is not None:
            clock = clock.capped(self.length)
        return clock.xp.number(self.function(clock.step))

    def __repr__(self) -> str:
        texts = [getattr(self.function, "__qualname__", None) or repr(self.function)]
        if self.name is not None:
            texts.append(f"name={self.name!r}")
        if self.length is not None:
            texts.append(f"length={self.length!r}")
        return f"from_function({', '.join(texts)})"

    def config_arguments(self) -> dict[str, Any]:
        """Give the name in place of the function; see ``Schedule.config_arguments``."""
        if self.name is None:
            raise ConfigError(
                f"{self!r} has no config, because a function can't be written as data. Give it a "
                f'name, `from_function(f, name="...")`, and read the config with '
                f'`from_config(config, functions={{"...": f}})`.'
            )
        return {"function": self.name, "length": self.length}

    @classmethod
    def from_config_arguments(
        cls, arguments: dict[str, Any], functions: Mapping[str, Callable[..., Any]]
    ) -> "from_function":
        """Look the function up by its name; see ``Schedule.from_config_arguments``."""
        name = arguments.pop("function")
        if name not in functions:
            raise ConfigError(
                f"The config names a function {name!r} that isn't given: pass "
                f"`from_config(config, functions={{{name!r}: f}})`."
            )
        return cls(functions[name], name=name, **arguments)
