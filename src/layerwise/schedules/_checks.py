"""Checks on the arguments of schedules: each names the argument, the value and what is allowed."""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from layerwise.errors import ScheduleError

__all__ = ["MOST_STEPS", "check_choice", "check_list", "check_number", "check_text", "check_whole"]

# Above this, floats skip whole numbers, and no training gets there.
MOST_STEPS = 2**53


def check_whole(where: str, argument: str, value: Any, at_least: int = 1) -> int:
    """Give ``value`` as an int, or say that it isn't a whole number of at least ``at_least``.

    A float that is whole (``1e4``) is fine, since people write step counts that way.
    """
    plain = _plain(value)
    if plain is None or not at_least <= plain <= MOST_STEPS or plain != int(plain):
        raise ScheduleError(
            f"{where}: {argument} must be a whole number of at least {at_least} and at most 2**53, "
            f"got {value!r}."
        )
    return int(plain)


def check_number(
    where: str,
    argument: str,
    value: Any,
    *,
    at_least: float | None = 0.0,
    above: float | None = None,
    below: float | None = None,
) -> float:
    """Give ``value`` as a float, or say that it isn't a finite number within the bounds."""
    bounds = []
    if above is not None:
        bounds.append(f"above {above:g}")
    elif at_least is not None:
        bounds.append(f"of at least {at_least:g}")
    if below is not None:
        bounds.append(f"below {below:g}")
    plain = _plain(value)
    inside = plain is not None and math.isfinite(plain)
    if plain is not None and inside:
        low_enough = below is None or plain < below
        high_enough = plain > above if above is not None else at_least is None or plain >= at_least
        inside = low_enough and high_enough
    if plain is None or not inside:
        allowed = " ".join(["a finite number", *(" and ".join(bounds).split())])
        raise ScheduleError(f"{where}: {argument} must be {allowed}, got {value!r}.")
    return float(plain)


def check_choice(where: str, argument: str, value: Any, allowed: tuple[Any, ...]) -> Any:
    """Give ``value`` back, or say that it isn't one of ``allowed``."""
    # The type counts too: True and 2.0 are not the choices 1 and 2.
    if not any(type(value) is type(choice) and value == choice for choice in allowed):
        names = ", ".join(repr(choice) for choice in allowed)
        raise ScheduleError(f"{where}: {argument} must be one of {names}, got {value!r}.")
    return value


def check_list(where: str, argument: str, value: Any) -> tuple[Any, ...]:
    """Give ``value`` as a tuple, or say that it isn't a sequence."""
    if isinstance(value, str | bytes | dict) or not isinstance(value, Iterable):
        raise ScheduleError(f"{where}: {argument} must be a sequence, got {value!r}.")
    return tuple(value)


def check_text(where: str, argument: str, value: Any) -> None:
    """Say so if ``value`` isn't a text of at least one letter."""
    if not isinstance(value, str) or not value:
        raise ScheduleError(f"{where}: {argument} must be a text, got {value!r}.")


def _plain(value: Any) -> int | float | None:
    """Turn Python's and NumPy's numbers into Python's, anything else (bools too) into None.

    None too for an integer that no float can hold.
    """
    if isinstance(value, np.generic) or (isinstance(value, np.ndarray) and value.ndim == 0):
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return None if isinstance(value, int) and abs(value) >= 2**1023 else value
