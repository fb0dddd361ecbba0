"""Schedules as plain JSON data, and back."""

from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any, Self, TypeAlias

from layerwise._checks import as_number, extent, version
from layerwise._text import MOST_CHARACTERS, shorten, shown
from layerwise.errors import ConfigError

VERSION = 1

BUILT_IN: dict[str, type["Configurable"]] = {}
"""The public schedules of this package by name; ``Schedule`` enters each one when it is defined."""

Functions: TypeAlias = Mapping[str, Callable[..., Any]]
"""What a config names and can't contain: functions, and schedule classes of a user's own."""


@dataclass(frozen=True, repr=False, eq=False)
class Configurable:
    """What can be written as JSON data: the name of its class, and its arguments."""

    def to_config(self) -> dict[str, Any]:
        """Write the schedule as plain JSON data: dicts, lists, strings, numbers, booleans, None.

        All arguments are written, defaults too, so that a config keeps its meaning forever.

        Returns:
            ``{"version": 1, "schedule": {"name": ..., "arguments": {...}}}``, nested where the
            schedule is.

        Raises:
            ConfigError: If the schedule contains a function without a name.

        Examples:
            >>> from layerwise.schedules import warmup
            >>> warmup(500).to_config()["schedule"]
            {'name': 'warmup', 'arguments': {'steps': 500, 'start': 0.0}}
        """
        return {"version": VERSION, "schedule": _write(self)}

    @classmethod
    def from_config(cls, config: Mapping[str, object], functions: Functions | None = None) -> Self:
        """Make the schedule that a config describes.

        Args:
            config: What ``to_config`` returned, through JSON or not.
            functions: The functions in a ``from_function``, and schedule classes of your own, by
                name.

        Returns:
            A schedule that equals the one that was written.

        Raises:
            ConfigError: If the version, a name or an argument is unknown, or one is missing, or the
                config is too deep or too large.
            ScheduleError: If an argument has a value that its schedule can't take.

        Examples:
            >>> import json
            >>> from layerwise.schedules import Schedule, cosine, warmup
            >>> text = json.dumps((warmup(5) >> cosine(95)).to_config())
            >>> Schedule.from_config(json.loads(text))
            warmup(5) >> cosine(95)
        """
        given: object = config  # whatever the hint says, it comes from a file
        extent(given, "A schedule's config", ConfigError)
        if not isinstance(given, Mapping) or set(given) != {"version", "schedule"}:
            raise ConfigError(
                f"A schedule's config must be a dict with 'version' and 'schedule', got "
                f"{shown(given)}."
            )
        version(given["version"], "A schedule's config", ConfigError, known=VERSION)
        made = _read(given["schedule"], functions or {})
        if not isinstance(made, cls):
            raise ConfigError(f"The config describes {shown(made)}, which is no {cls.__name__}.")
        return made

    def config_arguments(self) -> dict[str, Any]:
        """Return the arguments that make this schedule, for its config; by default, its fields."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def from_config_arguments(cls, arguments: dict[str, Any], functions: Functions) -> Self:
        """Make the schedule from the arguments in its config.

        Args:
            arguments: What ``config_arguments`` returned. Schedules among them are made already.
            functions: What the caller of ``from_config`` gave.

        Returns:
            The schedule.
        """
        return cls(**arguments)


def _write(value: object) -> object:
    if isinstance(value, Configurable):
        name = type(value).__name__
        if type(value) is not BUILT_IN.get(name, type(value)):
            raise ConfigError(
                f"Your schedule class {name!r} has the name of a built-in: rename it."
            )
        arguments = {key: _write(item) for key, item in value.config_arguments().items()}
        return {"name": name, "arguments": arguments}
    if isinstance(value, tuple | list):
        return [_write(item) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    number = as_number(value)
    if number is not None:  # of NumPy or a framework, in a class of a user's own
        return number
    way_out = ""
    if callable(value):
        way_out = ' A function goes into `from_function(f, name="...")`.'
    raise ConfigError(
        f"A schedule's config can't hold {shown(value)}: only numbers, strings, lists and "
        f"schedules.{way_out}"
    )


def _read(node: object, functions: Functions) -> Configurable:
    if not isinstance(node, Mapping) or set(node) != {"name", "arguments"}:
        raise ConfigError(
            f"A schedule in a config must be a dict with 'name' and 'arguments', got {shown(node)}."
        )
    name, given = node["name"], node["arguments"]
    if not isinstance(name, str) or not isinstance(given, Mapping):
        raise ConfigError(
            f"A schedule's name must be a string and its arguments a dict, got {shown(node)}."
        )
    kind = BUILT_IN.get(name) or functions.get(name)
    if not (isinstance(kind, type) and issubclass(kind, Configurable)):
        raise ConfigError(
            f"Unknown schedule {shown(name)}: this Layerwise has {', '.join(sorted(BUILT_IN))}. "
            f"Pass a class of yours as `Schedule.from_config(config, functions={{{shown(name)}: "
            "YourSchedule})`."
        )
    known = {field.name for field in fields(kind)}
    needed = {field.name for field in fields(kind) if field.default is MISSING}
    if not needed <= set(given) <= known:
        found = shorten(", ".join(sorted(map(str, given))), MOST_CHARACTERS)
        raise ConfigError(
            f"The schedule {shown(name)} takes {', '.join(sorted(known))}; the config has "
            f"{found or 'nothing'}."
        )
    arguments = {key: _read_argument(value, functions) for key, value in given.items()}
    return kind.from_config_arguments(arguments, functions)


def _read_argument(value: object, functions: Functions) -> object:
    if isinstance(value, Mapping):
        return _read(value, functions)
    if isinstance(value, tuple | list):
        return tuple(_read_argument(item, functions) for item in value)
    return value
