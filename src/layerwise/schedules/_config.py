"""Schedules as plain JSON data, and back."""

from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from typing import Any

from layerwise.errors import ConfigError
from layerwise.schedules._schedule import Schedule

__all__ = ["VERSION", "from_config", "to_config"]

VERSION = 1


def to_config(schedule: Schedule) -> dict[str, Any]:
    """Write a schedule as plain JSON data: dicts, lists, texts, numbers, booleans and None.

    Every argument is written, defaults too, so that a config means the same for ever.

    Args:
        schedule: the schedule. A schedule class of your own must be a frozen dataclass whose
            fields are its arguments.

    Returns:
        ``{"version": 1, "schedule": {"name": ..., "arguments": {...}}}``, nested where the schedule
        is.

    Raises:
        ConfigError: if the schedule has a callable in it that has no name.

    Examples:
        >>> from layerwise.schedules import warmup
        >>> to_config(warmup(500))["schedule"]
        {'name': 'warmup', 'arguments': {'steps': 500, 'start': 0.0}}
    """
    return {"version": VERSION, "schedule": _write(schedule)}


def from_config(
    config: Mapping[str, Any], functions: Mapping[str, Callable[..., Any]] | None = None
) -> Schedule:
    """Make the schedule that a config describes.

    Args:
        config: what ``to_config`` gave, through JSON or not.
        functions: the callables of ``from_function``, and your own classes of schedules, by name.

    Raises:
        ConfigError: if the version, a name or an argument is unknown or missing.
        ScheduleError: if an argument has a value that the schedule can't take.

    Examples:
        >>> import json
        >>> from layerwise.schedules import cosine, warmup
        >>> text = json.dumps((warmup(5) >> cosine(95)).to_config())
        >>> from_config(json.loads(text))
        warmup(5) >> cosine(95)
    """
    given: Any = config  # whatever the hint says, it comes from a file
    if not isinstance(given, Mapping) or set(given) != {"version", "schedule"}:
        raise ConfigError(
            f"A schedule's config is a dict with 'version' and 'schedule', got {given!r}."
        )
    version = given["version"]
    if isinstance(version, bool) or version != VERSION:
        raise ConfigError(
            f"Unknown version {version!r} of a schedule's config: this Layerwise reads version "
            f"{VERSION}."
        )
    return _read(given["schedule"], functions or {})


def _write(value: Any) -> Any:
    if isinstance(value, Schedule):
        name = type(value).__name__
        if type(value) is not built_in().get(name, type(value)):
            raise ConfigError(f"Your schedule class {name!r} has a built-in's name: rename it.")
        arguments = {key: _write(item) for key, item in value.config_arguments().items()}
        return {"name": name, "arguments": arguments}
    if isinstance(value, tuple | list):
        return [_write(item) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise ConfigError(f"A config can't hold {value!r}: only numbers, texts, lists and schedules.")


def _read(node: Any, functions: Mapping[str, Callable[..., Any]]) -> Schedule:
    if not isinstance(node, Mapping) or set(node) != {"name", "arguments"}:
        raise ConfigError(
            f"A schedule in a config is a dict with 'name' and 'arguments', got {node!r}."
        )
    name, given = node["name"], node["arguments"]
    if not isinstance(name, str) or not isinstance(given, Mapping):
        raise ConfigError(f"A schedule's name is a text and its arguments a dict, got {node!r}.")
    kind = built_in().get(name) or _own(name, functions)
    known = {field.name for field in fields(kind)}
    needed = {field.name for field in fields(kind) if field.default is MISSING}
    if not needed <= set(given) <= known:
        raise ConfigError(
            f"The schedule {name!r} takes {', '.join(sorted(known))}; the config has "
            f"{', '.join(sorted(map(str, given))) or 'nothing'}."
        )
    arguments = {key: _read_value(value, functions) for key, value in given.items()}
    return kind.from_config_arguments(arguments, functions)


def _read_value(value: Any, functions: Mapping[str, Callable[..., Any]]) -> Any:
    if isinstance(value, Mapping):
        return _read(value, functions)
    if isinstance(value, tuple | list):
        return tuple(_read_value(item, functions) for item in value)
    return value


def _own(name: str, functions: Mapping[str, Callable[..., Any]]) -> type[Schedule]:
    kind = functions.get(name)
    if isinstance(kind, type) and issubclass(kind, Schedule):
        return kind
    raise ConfigError(
        f"Unknown schedule {name!r}: this Layerwise has {', '.join(sorted(built_in()))}; pass a "
        f"class of your own as `from_config(config, functions={{{name!r}: YourSchedule}})`."
    )


def built_in() -> dict[str, type[Schedule]]:
    """Every public schedule of this package, by its name."""
    home, found, waiting = __name__.rpartition(".")[0], {}, [Schedule]
    while waiting:
        kind = waiting.pop()
        waiting.extend(kind.__subclasses__())
        if kind.__module__.startswith(home + ".") and not kind.__name__.startswith("_"):
            found[kind.__name__] = kind
    del found["Schedule"]
    return found
