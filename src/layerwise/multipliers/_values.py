"""What a multiplier may be: a number, a schedule, or any callable of the step."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any, TypeAlias, TypeGuard

import numpy as np

from layerwise._checks import as_number
from layerwise._text import shown
from layerwise.errors import LayerwiseError, MultiplierError
from layerwise.schedules import (
    Schedule,
    counts_of_start,
    from_function,
    lower_bound,
    values_in_advance,
)

StepValue: TypeAlias = Schedule | Callable[[Any], Any]
"""What may change with the step: a schedule, or a callable of the step.

Examples:
    >>> from layerwise import cosine
    >>> from layerwise.multipliers import StepValue, moves
    >>> values: list[StepValue] = [cosine(100), lambda step: 1 / (1 + step)]
    >>> all(map(moves, values))
    True
"""

Value: TypeAlias = float | int | StepValue
"""A multiplier: a finite number of at least 0, a schedule, or a callable of the step.

Examples:
    >>> from layerwise import cosine
    >>> from layerwise.multipliers import Value, check_value
    >>> values: list[Value] = [0.5, cosine(100), lambda step: 1 / (1 + step)]
    >>> all(check_value(value, "This one") == value for value in values)
    True
"""


@dataclass(frozen=True)
class Override:
    """A rule's value that wins over a layer's annotation; ``override`` makes it.

    Attributes:
        value: A finite number of at least 0, a schedule, or a callable of the step.

    Raises:
        MultiplierError: The value is none of these.

    Examples:
        >>> from layerwise.multipliers import override
        >>> override(1).value
        1.0
    """

    value: Value

    def __post_init__(self) -> None:
        object.__setattr__(self, "value", check_value(self.value, "override(...)"))

    def __repr__(self) -> str:
        return f"override({self.value!r})"


def override(value: Value) -> Override:
    """Mark a rule's value, so that it wins over the annotations of the layers that it matches.

    Args:
        value: A finite number of at least 0, a schedule, or a callable of the step.

    Returns:
        The marked value, to be used in a mapping of rules.

    Raises:
        MultiplierError: The value is none of these.

    Examples:
        >>> from layerwise.multipliers import override
        >>> {"backbone": override(0.1)}
        {'backbone': override(0.1)}
    """
    return Override(value)


def check_value(value: object, where: str) -> Value:
    """A multiplier as Layerwise keeps it: a ``float``, or the schedule or callable itself.

    Args:
        value: What a caller gave. Scalars of NumPy and of the frameworks are numbers; booleans,
            strings and classes are not.
        where: Where the value stands, for the message: ``"The rule 'head'"``.

    Returns:
        A finite ``float`` of at least 0, a schedule, or a callable.

    Raises:
        MultiplierError: The value is negative, NaN, infinite, or no multiplier at all.

    Examples:
        >>> from layerwise.multipliers import check_value
        >>> check_value(1, "The rule 'head'")
        1.0
        >>> check_value(-0.5, "The rule 'head'")
        Traceback (most recent call last):
        ...
        layerwise.errors.MultiplierError: The rule 'head' has the multiplier -0.5; it must be a
        finite number of at least 0, a schedule, or a callable of the step.
    """
    if type(value) is float and 0 <= value < math.inf:  # the usual case, checked first for speed
        return value + 0.0
    if isinstance(value, Schedule):
        return value
    number = as_number(value)
    if number is not None:
        if 0 <= number < math.inf:
            return number + 0.0  # a float, and 0.0 for -0.0
    elif callable(value) and not isinstance(value, type):
        return value
    raise MultiplierError(
        f"{where} has the multiplier {shown(value)}; it must be a finite number of at least 0, a "
        f"schedule, or a callable of the step.{_hint(value)}"
    )


def moves(value: Value) -> TypeGuard[StepValue]:
    """Whether a multiplier may change with the step: it is a schedule or a callable.

    Examples:
        >>> from layerwise import cosine
        >>> from layerwise.multipliers import moves
        >>> moves(0.5), moves(cosine(100)), moves(lambda step: 0.5)
        (False, True, True)
    """
    return not isinstance(value, float | int)


def value_at(
    value: Value,
    step: float,
    what: str,
    error: type[LayerwiseError] = MultiplierError,
    counts: Mapping[str, float] | None = None,
) -> float:
    """A multiplier, or another factor, at a step.

    Args:
        value: A number, a schedule, or a callable of the step.
        step: Optimizer updates already applied; a callable gets a Python integer.
        what: What the value is, for the message: ``"The multiplier of 'head'"``.
        error: The error to raise.
        counts: What else has been counted, for schedules that count it: ``{"tokens": 4096}``.

    Returns:
        A finite number of at least 0; a boolean counts as 0 or 1.

    Raises:
        LayerwiseError: The result is no such number. The class is ``error``.

    Examples:
        >>> from layerwise.multipliers import value_at
        >>> value_at(lambda step: 1 / (1 + step), 3, "The multiplier of 'head'")
        0.25
    """
    if counts and isinstance(value, Schedule):
        result: object = value(step, **counts)
    else:
        result = value(step) if callable(value) else value
    if type(result) is float and 0 <= result < math.inf:  # the usual case, checked first for speed
        return result
    number = float(result) if isinstance(result, bool | np.bool_) else as_number(result)
    if number is None or not 0 <= number < math.inf:
        raise error(
            f"{what} is {shown(result)} at step {step}; it must be a finite number of at least 0."
        )
    return float(number)


def first_value(
    value: Value,
    what: str,
    evaluate: Callable[[StepValue, int], object] = lambda value, step: value(
        step, **counts_of_start([value])
    ),
    hint: str = "",
) -> float:
    """A value at step 0, computed before training, while an error is still easy to read.

    Args:
        value: A number, a schedule, or a callable of the step.
        what: What the value is, for the message: ``"The multiplier of 'head'"``.
        evaluate: Computes a schedule or callable at a step, as training will; by default it is
            called with a Python integer, and nothing is counted yet.
        hint: A sentence for the message that says what callables are called with.

    Returns:
        A finite number of at least 0.

    Raises:
        MultiplierError: The value can't be computed, or is no such number.
        LayerwiseError: An error of Layerwise that ``evaluate`` raised, unchanged.

    Examples:
        >>> from layerwise.multipliers import first_value
        >>> first_value(lambda step: step - 1.0, "The multiplier of 'head'")
        Traceback (most recent call last):
        ...
        layerwise.errors.MultiplierError: The multiplier of 'head' is -1.0 at step 0; it must be a
        finite number of at least 0.
    """

    def result(step: int) -> object:
        try:
            return evaluate(value, step) if moves(value) else value
        except LayerwiseError:
            raise
        except Exception as error:  # the user's callable may raise anything
            raise MultiplierError(f"{what} failed at step 0: {error}. {hint}".rstrip()) from error

    return value_at(result, 0, what)


_SMALLEST = 1e-6
"""float32 may round a smaller multiplier to 0."""


def may_be_0(value: Value) -> bool:
    """Whether a multiplier may be 0 at some step, so that what it is for may freeze.

    Examples:
        >>> from layerwise import linear
        >>> from layerwise.multipliers import may_be_0
        >>> may_be_0(linear(10**9, end=0.1)), may_be_0(linear(10**9)), may_be_0(lambda step: 1.0)
        (False, True, True)
    """
    if isinstance(value, float | int):
        return value == 0.0
    if not isinstance(value, Schedule):
        return True
    if lower_bound(value) >= _SMALLEST:
        return False
    values = values_in_advance(value)
    return values is None or bool(np.min(values) < _SMALLEST)


def same_value(one: Value | Override, other: Value | Override) -> bool:
    """Whether two values are the same multiplier; callables are compared by identity."""
    return value_key(one) == value_key(other)


def value_key(value: Value | Override) -> object:
    """A key that two values share if, and only if, they are the same multiplier."""
    if isinstance(value, Override):
        return "override", value_key(value.value)
    return value if isinstance(value, float | int | Schedule) else ("callable", id(value))


def value_text(value: Value) -> float | str:
    """A multiplier for people to read: a number, a schedule's expression, or a function's name.

    Examples:
        >>> from layerwise import cosine
        >>> from layerwise.multipliers import value_text
        >>> value_text(0.5), value_text(cosine(100)), value_text(max)
        (0.5, 'cosine(100)', 'max')
    """
    if isinstance(value, float | int):
        return float(value)
    if isinstance(value, Schedule):
        return repr(value)
    name = getattr(value, "__name__", None)
    return name if isinstance(name, str) else type(value).__name__


def product(*values: Value) -> Value:
    """The multiplier that is the product of all of these at every step; 1 for none."""
    start: Value = 1.0
    return reduce(_times, values, start)


def _times(one: Value, other: Value) -> Value:
    if isinstance(one, float) and isinstance(other, float):
        return one * other
    for number, rest in ((one, other), (other, one)):
        if isinstance(number, float) and number in (0.0, 1.0):
            # 0 stays the number 0: what is frozen for good stays so whatever the other becomes.
            return rest if number else 0.0
    return _factor(one) * _factor(other)


def _factor(value: Value) -> Schedule | float:
    return value if isinstance(value, float | int | Schedule) else from_function(value)


def _hint(value: object) -> str:
    if isinstance(value, Override):
        return " override(...) belongs to a rule: give its value here."
    if isinstance(value, type):
        return f" {value.__name__} is a class: give an object made from it."
    if hasattr(value, "multipliers"):
        return (
            " A strategy stands beside a mapping, not in it: [strategy, {'head': 2.0}]. To let it "
            "count some layers alone, give it layers=."
        )
    if hasattr(value, "assign"):
        return " A variable would be read only once: give a function that returns it."
    return ""
