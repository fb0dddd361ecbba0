"""A callable of the user's as a schedule."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from layerwise._checks import text
from layerwise._text import printable, shown
from layerwise.errors import ConfigError, ScheduleError
from layerwise.schedules._backends.namespace import A
from layerwise.schedules._clock import Clock
from layerwise.schedules._config import Functions
from layerwise.schedules._schedule import Schedule


@dataclass(frozen=True, repr=False)
class from_function(Schedule):
    """Any callable of the step as a schedule, so that it combines with others.

    The callable gets the step as it came: a Python number, or an array or traced value of the
    library that calls the schedule. TensorFlow's steps come as floats, since its integers don't
    mix with floats. If the schedule is to run inside a compiled training step, write the callable
    without an ``if`` on the step. Optax' schedules are such callables.

    Two of these schedules are equal if their callables, names and lengths are.

    Args:
        function: Takes the step and returns the factor.
        name: The name that a config has in place of the callable; ``Schedule.from_config`` then
            needs ``functions={name: function}``. None: the schedule has no config.
        length: The number of steps until it has arrived; it then stays. 0 only as a piece of
            ``>>``. None: endless.

    Raises:
        ScheduleError: If an argument is not as described above.

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
                f"got {shown(self.function)}."
            )
        if self.name is not None:
            text(self.name, "from_function: name", ScheduleError)
        self._check_length("length")

    def __hash__(self) -> int:
        try:
            return hash((self.function, self.name, self.length))
        except TypeError:  # an object that can be called and compared, but not hashed
            return hash((self.name, self.length))

    def evaluate(self, clock: Clock[A]) -> A:
        """Compute the value; see ``Schedule.evaluate``."""
        if self.length is not None:
            clock = clock.capped(self.length)
        return clock.xp.number(self.function(clock.step))

    def __repr__(self) -> str:
        own = getattr(self.function, "__qualname__", None)
        texts = [printable(own) if isinstance(own, str) and own else shown(self.function)]
        named = {"name": self.name, "length": self.length}
        texts += [f"{name}={value!r}" for name, value in named.items() if value is not None]
        return f"from_function({', '.join(texts)})"

    def config_arguments(self) -> dict[str, Any]:
        """Return the name in place of the function; see ``Schedule.config_arguments``."""
        if self.name is None:
            raise ConfigError(
                f"{shown(self)} has no config, because a function can't be written as data. Give "
                'it a name, `from_function(f, name="...")`, and read the config with '
                '`Schedule.from_config(config, functions={"...": f})`.'
            )
        return {"function": self.name, "length": self.length}

    @classmethod
    def from_config_arguments(
        cls, arguments: dict[str, Any], functions: Functions
    ) -> "from_function":
        """Look up the function by its name; see ``Schedule.from_config_arguments``."""
        name = arguments["function"]
        if not isinstance(name, str) or name not in functions:
            raise ConfigError(
                f"The config names a function {shown(name)}, which isn't given: pass "
                f"`Schedule.from_config(config, functions={{{shown(name)}: f}})`."
            )
        if "name" in arguments:
            raise ConfigError(
                "The config of a from_function has its name as 'function', and must have no 'name'."
            )
        return cls(functions[name], name=name, length=arguments.get("length"))
