"""Checks on arguments, one for each kind, which all packages share.

Each takes the value, what it is called in a message (``"steps"``, ``"cosine: steps"``), and the
class of the error to raise. Each returns the value as plain Python.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from numbers import Integral, Real
from typing import TypeVar

import numpy as np

from layerwise._text import shown
from layerwise.errors import LayerwiseError

T = TypeVar("T")

MOST_STEPS = 2**53
"""Above this, floats skip whole numbers, and no training gets there."""

MOST_ITEMS = 1_000_000
"""Of a sequence: more are a mistake, or an iterator without an end."""

MOST_DATA = 5_000_000
"""Items in a config, those of lists in it counted, too."""

MOST_LEVELS = 330
"""Of lists and mappings in a config: room for the deepest schedule, well inside Python's stack."""


def whole(
    value: object,
    what: str,
    error: type[LayerwiseError],
    *,
    at_least: int = 0,
    at_most: int = MOST_STEPS,
) -> int:
    """Return a whole number as an ``int``.

    A float without a fraction, such as ``1e4``, is fine, since people write step counts that way.

    Args:
        value: The number; of any library, if it is a scalar.
        what: What it is called in the message.
        error: The error to raise.
        at_least: The lowest value allowed.
        at_most: The highest value allowed.

    Examples:
        >>> from layerwise.errors import ScheduleError
        >>> whole(1e4, "steps", ScheduleError)
        10000
        >>> whole(0, "steps", ScheduleError, at_least=1)
        Traceback (most recent call last):
        ...
        layerwise.errors.ScheduleError: steps must be a whole number of at least 1, got 0.
    """
    found = as_number(value)
    if found is not None and at_least <= found <= at_most and found == int(found):
        return int(found)
    bounds = f"of at least {at_least}"
    if at_most != MOST_STEPS:
        bounds += f" and at most {at_most}"
    elif found is not None and found > at_most:
        bounds += " and at most 2**53"
    raise error(f"{what} must be a whole number {bounds}, got {shown(value)}.")


def step_number(value: object, what: str, error: type[LayerwiseError]) -> float:
    """Return a step: an ``int``, or a ``float`` if it lies between two whole ones.

    PyTorch's ``CosineAnnealingWarmRestarts`` documents ``step(epoch + i / iters)``, and a schedule
    has a value there, too.

    Examples:
        >>> from layerwise.errors import ScheduleError
        >>> [step_number(step, "epoch", ScheduleError) for step in (np.int64(3), 2.5)]
        [3, 2.5]
    """
    found = as_number(value)
    if found is None or not 0 <= found <= MOST_STEPS:
        raise error(f"{what} must be a number from 0 to 2**53, got {shown(value)}.")
    return int(found) if found == int(found) else float(found)


def number(
    value: object,
    what: str,
    error: type[LayerwiseError],
    *,
    at_least: float | None = 0.0,
    above: float | None = None,
    below: float | None = None,
) -> float:
    """Return a finite number as a ``float``.

    Args:
        value: The number; of any library, if it is a scalar.
        what: What it is called in the message.
        error: The error to raise.
        at_least: The lowest value allowed, or None for no bound. ``above`` takes its place.
        above: If given, the value must be larger than this.
        below: If given, the value must be smaller than this.

    Examples:
        >>> from layerwise.errors import FinderError
        >>> number(1, "low", FinderError, above=0.0)
        1.0
        >>> number(0.0, "low", FinderError, above=0.0)
        Traceback (most recent call last):
        ...
        layerwise.errors.FinderError: low must be a finite number above 0, got 0.0.
    """
    found = as_number(value)
    if (
        found is not None
        and math.isfinite(found)
        and (found > above if above is not None else at_least is None or found >= at_least)
        and (below is None or found < below)
    ):
        return float(found)
    low = ("of at least", at_least) if above is None else ("above", above)
    bounds = [f"{lies} {bound:g}" for lies, bound in (low, ("below", below)) if bound is not None]
    allowed = " ".join(["a finite number", " and ".join(bounds)]).rstrip()
    raise error(f"{what} must be {allowed}, got {shown(value)}.")


def choice(value: object, what: str, error: type[LayerwiseError], allowed: Sequence[T]) -> T:
    """Return the one of the allowed values that was given.

    The type counts too: ``True`` and ``2.0`` are not the choices 1 and 2. The integers, booleans
    and strings of other libraries are those of Python.

    Examples:
        >>> from layerwise.errors import ScheduleError
        >>> choice("cos", "shape", ScheduleError, ("cosine", "linear"))
        Traceback (most recent call last):
        ...
        layerwise.errors.ScheduleError: shape must be one of 'cosine', 'linear', got 'cos'.
    """
    for one in allowed:
        if _same_choice(value, one):
            return one
    names = ", ".join(map(repr, allowed))
    raise error(f"{what} must be one of {names}, got {shown(value)}.")


def _same_choice(value: object, one: object) -> bool:
    match one:
        case bool():
            return isinstance(value, bool | np.bool_) and bool(value) is one
        case int():
            found = as_number(value)
            return isinstance(found, int) and found == one
        case str():
            return isinstance(value, str) and value == one
    return type(value) is type(one) and value == one


def sequence(value: object, what: str, error: type[LayerwiseError]) -> tuple[object, ...]:
    """Return the items of a list, an array or any other iterable, but not of a string or a dict."""
    if isinstance(value, Iterable) and not isinstance(value, str | bytes | dict):
        try:
            items = tuple(islice(value, MOST_ITEMS + 1))
        except TypeError:  # an array without a dimension
            items = None
        if items is not None:
            if len(items) > MOST_ITEMS:
                raise error(f"{what} must have at most {MOST_ITEMS:,} items, got more.")
            return items
    raise error(f"{what} must be a sequence, got {shown(value)}.")


def text(value: object, what: str, error: type[LayerwiseError]) -> str:
    """Return a string that isn't empty."""
    if not isinstance(value, str) or not value:
        raise error(f"{what} must be a string that isn't empty, got {shown(value)}.")
    return value


def version(found: object, what: str, error: type[LayerwiseError], known: int) -> None:
    """Check that saved data has the version that this Layerwise reads.

    Args:
        found: The version in the data.
        what: What the data is, for the start of the message: ``"The config of a schedule"``.
        error: The error to raise.
        known: The version that can be read.

    Examples:
        >>> from layerwise.errors import ConfigError
        >>> version(2, "The config of a schedule", ConfigError, known=1)
        Traceback (most recent call last):
        ...
        layerwise.errors.ConfigError: The config of a schedule has version 2, but this Layerwise
        reads version 1. Use the Layerwise that wrote it, or a newer one.
    """
    if isinstance(found, bool) or found != known:
        raise error(
            f"{what} has version {shown(found)}, but this Layerwise reads version {known}. Use the "
            "Layerwise that wrote it, or a newer one."
        )


def extent(data: object, what: str, error: type[LayerwiseError]) -> None:
    """Check that plain data from outside is neither too deep nor too large to be walked through.

    Args:
        data: The data, in which a list may even hold itself.
        what: What the data is, for the start of the message: ``"The config of a schedule"``.
        error: The error to raise.

    Examples:
        >>> from layerwise.errors import ConfigError
        >>> data = []
        >>> data.append(data)
        >>> extent(data, "The config", ConfigError)
        Traceback (most recent call last):
        ...
        layerwise.errors.ConfigError: The config must be at most 330 levels deep.
    """
    count, open_ones = 0, [iter((data,))]
    while open_ones:
        for value in open_ones[-1]:
            count += 1
            if count > MOST_DATA:
                raise error(f"{what} must have at most {MOST_DATA:,} items.")
            if isinstance(value, Mapping):
                open_ones.append(iter(value.values()))
                break
            if isinstance(value, list | tuple):
                open_ones.append(iter(value))
                break
        else:
            open_ones.pop()
        if len(open_ones) > MOST_LEVELS:
            raise error(f"{what} must be at most {MOST_LEVELS} levels deep.")


def as_number(value: object) -> int | float | None:
    """Return a real number of any library as a Python number, and None for anything else.

    Integers stay integers; one too large for a float becomes infinity. Booleans, strings, variables
    and traced values are no numbers, and arrays only if they have no dimension.
    """
    if isinstance(value, bool | np.bool_ | str | bytes) or hasattr(value, "assign"):
        return None
    integer = isinstance(value, Integral)
    if not isinstance(value, Real):
        dtype = str(getattr(value, "dtype", ""))
        if getattr(value, "shape", None) != () or not ("float" in dtype or "int" in dtype):
            return None
        integer = "int" in dtype
    try:
        found = float(value)  # type: ignore[arg-type]
        return int(value) if integer else found  # type: ignore[call-overload]
    except OverflowError:
        return math.inf
    except Exception:  # complex, dates, traced arrays: each library has an error of its own
        return None
