"""A multiplier that moves, kept inside its parameter group as plain data.

An optimizer writes its groups into its checkpoint and takes them from it, so a group holds the
config of its multiplier and never the object: what ``torch.save`` writes stays loadable with
``weights_only=True``. A function has no config. It is remembered beside its group's parameters,
which stay what they are when an optimizer replaces its groups by those of a checkpoint.
"""

from collections.abc import Callable, Mapping
from typing import Any

from torch.utils.weak import WeakTensorKeyDictionary

from layerwise.errors import ConfigError, OptimizerError
from layerwise.multipliers import Value, check_value, value_from_config, value_to_config

KEY = "lr_multiplier"
"""Under which a group keeps the multiplier that moves."""

_functions: Any = WeakTensorKeyDictionary()


def described(value: Value) -> dict[str, Any]:
    """A schedule as its config; a function, or a schedule made with one, as its name."""
    try:
        return value_to_config(value, _name)
    except ConfigError:
        return value_to_config(lambda step: value, lambda _: repr(value))


def revived(config: Any, known: Value | None) -> Value:
    """The value that a config describes.

    Args:
        config: What ``described`` gave.
        known: The value that is in its place now. Taken if the config is its own, or names a
            function, which no config can bring along.

    Raises:
        ConfigError: The config can't be read, and there is nothing in its place.
    """
    if known is not None and described(known) == config:
        return known
    try:
        value = value_from_config(config)
    except ConfigError:
        if known is None:
            raise
        value_from_config(config, _AnyFunction())  # raises if it is not for want of a function
        return known
    return check_value(value, "a config")


def put(value: Value, group: dict[str, Any]) -> None:
    """Write a multiplier that moves into a group."""
    group[KEY] = described(value)
    for tensor in group["params"][:1]:
        _functions[tensor] = value


def get(group: Mapping[str, Any], name: str) -> Value | None:
    """The multiplier that a group keeps, or None; one written by hand is taken as it is.

    Raises:
        MultiplierError: A group made by hand has something that is no multiplier.
        OptimizerError: A function was in there, and a checkpoint has brought only its name.
    """
    kept = group.get(KEY)
    if kept is None:
        return None
    if not isinstance(kept, Mapping):
        return check_value(kept, f"the group {name!r}")
    known = next((_functions[tensor] for tensor in group["params"] if tensor in _functions), None)
    try:
        return revived(kept, known)
    except ConfigError as error:
        raise OptimizerError(
            f"The group {name!r} has a multiplier that a checkpoint can't bring along: {error} "
            "Make the groups by param_groups() with the same rules before loading."
        ) from error


class _AnyFunction(dict[str, Callable[..., Any]]):
    """Has a function by every name: to tell a config that lacks one from one that is wrong."""

    def __missing__(self, name: str) -> Callable[..., Any]:
        return lambda step: 1.0

    def __contains__(self, name: object) -> bool:
        return True


def _name(function: Callable[..., Any]) -> str:
    return str(getattr(function, "__qualname__", type(function).__qualname__))
