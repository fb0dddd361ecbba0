"""What a multiplier may be: a number, a schedule, or any callable of the step."""

import math
import numbers
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeGuard

import numpy as np

from layerwise.errors import LayerwiseError, MultiplierError
from layerwise.schedules import Schedule

StepValue: TypeAlias = Schedule | Callable[[Any], Any]
"""What may be another number at another step: a schedule, or a callable of the step."""

Value: TypeAlias = float | int | StepValue
"""A multiplier: a finite number of at least 0, a schedule, or a callable of the step.

Examples:
    >>> from layerwise import cosine
    >>> from layerwise.multipliers import Value, check_value
    >>> values: list[Value] = [0.5, cosine(100), lambda step: 1 / (1 + step)]
    >>> all(check_value(value, "the example") == value for value in values)
    True
"""

_ALLOWED = "a multiplier is a finite number of at least 0, a schedule, or a callable of the step"


@dataclass(frozen=True)
class Override:
    """A rule's value that may replace what a layer says about itself; see ``override``.

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
    """A rule's value that wins over the annotations of the layers it matches.

    Args:
        value: A finite number of at least 0, a schedule, or a callable of the step.

    Returns:
        The value, marked, to be used in a mapping of rules.

    Raises:
        MultiplierError: The value is none of these.

    Examples:
        >>> from layerwise.multipliers import override
        >>> {"backbone": override(0.1)}
        {'backbone': override(0.1)}
    """
    return Override(value)


def check_value(value: object, where: str) -> Value:
    """The multiplier as Layerwise keeps it: a ``float``, or the schedule or callable itself.

    Args:
        value: What a caller handed in. NumPy scalars, 0-d arrays and 0-d tensors are numbers;
            booleans, strings and classes are not.
        where: Where it stands, for the message: ``"the rule 'head'"``.

    Returns:
        A ``float``, a schedule, or a callable.

    Raises:
        MultiplierError: It is negative, NaN, infinite, or no multiplier at all.

    Examples:
        >>> from layerwise.multipliers import check_value
        >>> check_value(1, "the rule 'head'")
        1.0
        >>> check_value(-0.5, "the rule 'head'")
        Traceback (most recent call last):
        ...
        layerwise.errors.MultiplierError: the rule 'head' has the multiplier -0.5; a multiplier is
        a finite number of at least 0, a schedule, or a callable of the step.
    """
    if isinstance(value, Schedule):
        return value
    number = as_number(value)
    if number is not None:
        if math.isfinite(number) and number >= 0:
            return number + 0.0  # -0.0 becomes 0.0
    elif callable(value) and not isinstance(value, type):
        return value
    raise MultiplierError(f"{where} has the multiplier {value!r}; {_ALLOWED}.{_hint(value)}")


def as_number(value: object) -> float | None:
    """A Python float for every kind of real number, None for everything else."""
    if type(value) is float:  # nearly always, and at every step
        return value
    if isinstance(value, bool | np.bool_ | str | bytes) or hasattr(value, "assign"):
        return None
    if not isinstance(value, numbers.Real):
        dtype = str(getattr(value, "dtype", ""))
        if getattr(value, "shape", None) != () or not ("float" in dtype or "int" in dtype):
            return None
    try:
        return float(value)  # type: ignore[arg-type]
    except OverflowError:
        return math.inf
    except Exception:  # complex, dates, traced arrays: each framework has an error of its own
        return None


def same_value(one: Value, other: Value) -> bool:
    """Whether two checked values are one: numbers and schedules by value, callables by identity."""
    return value_key(one) == value_key(other)


def value_key(value: Value) -> object:
    """What two checked values share exactly if they are the same multiplier."""
    return value if isinstance(value, float | int | Schedule) else ("callable", id(value))


def moves(value: Value) -> TypeGuard[StepValue]:
    """Whether a multiplier may change with the step: a schedule or a callable, no number.

    Examples:
        >>> from layerwise import cosine
        >>> from layerwise.multipliers import moves
        >>> moves(0.5), moves(cosine(100)), moves(lambda step: 0.5)
        (False, True, True)
    """
    return not isinstance(value, float | int)


def value_at(
    value: Value, step: int, what: str, error: type[LayerwiseError] = MultiplierError
) -> float:
    """A multiplier or a factor at a step, as a Python number.

    Args:
        value: A number, a schedule, or a callable of the step.
        step: Optimizer updates already applied; a callable gets it as a Python integer.
        what: What the value is, for the message: ``"The multiplier of 'head'"``.
        error: The error to raise.

    Returns:
        A finite number of at least 0; a boolean counts as 0 or 1.

    Raises:
        LayerwiseError: A callable returned something else; the class is ``error``.

    Examples:
        >>> from layerwise.multipliers import value_at
        >>> value_at(lambda step: 1 / (1 + step), 3, "The multiplier of 'head'")
        0.25
    """
    if isinstance(value, float):
        return value
    return _checked_result(value(step) if moves(value) else value, step, what, error)


def first_value(
    value: Value,
    what: str,
    evaluate: Callable[[StepValue, int], object] = lambda value, step: value(step),
    hint: str = "",
) -> float:
    """A value at step 0, tried before training, where an error can still be read.

    Args:
        value: A number, a schedule, or a callable of the step.
        what: What the value is, for the message: ``"The multiplier of 'head'"``.
        evaluate: Computes what moves at a step, as training will; by default it calls the value
            with a Python integer.
        hint: A sentence for the message about what a callable is called with.

    Returns:
        A finite number of at least 0.

    Raises:
        MultiplierError: The value can't be computed, or is no such number.
        LayerwiseError: Whatever error of Layerwise ``evaluate`` raised, unchanged.

    Examples:
        >>> from layerwise.multipliers import first_value
        >>> first_value(lambda step: step - 1.0, "The multiplier of 'head'")
        Traceback (most recent call last):
        ...
        layerwise.errors.MultiplierError: The multiplier of 'head' is -1.0 at step 0; it must be a
        finite number of at least 0.
    """
    if isinstance(value, float | int):
        return float(value)
    try:
        result = evaluate(value, 0)
    except LayerwiseError:
        raise
    except Exception as error:  # a callable of the user's may raise anything
        raise MultiplierError(f"{what} failed at step 0: {error}. {hint}".rstrip()) from error
    return _checked_result(result, 0, what, MultiplierError)


def _checked_result(result: object, step: int, what: str, error: type[LayerwiseError]) -> float:
    number = float(result) if isinstance(result, bool | np.bool_) else as_number(result)
    if number is None or not 0 <= number < math.inf:
        raise error(
            f"{what} is {result!r} at step {step}; it must be a finite number of at least 0."
        )
    return number


def _hint(value: object) -> str:
    if isinstance(value, Override):
        return " override(...) belongs to a rule: take its value here."
    if isinstance(value, type):
        return f" {value.__name__} is a class: hand in an object made from it."
    if hasattr(value, "assign"):
        return " A variable would be read only once: hand in a function that returns it."
    return ""
