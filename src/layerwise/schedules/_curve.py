"""The values of a number, a schedule or any callable at many steps."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from layerwise.schedules._function import from_function
from layerwise.schedules._schedule import Schedule, schedules_in


def is_closed_form(value: object) -> bool:
    """Say whether one call gives the values at a whole array of steps.

    Args:
        value: A number, a schedule, or a callable of the step.

    Returns:
        True for numbers, and for schedules with no ``from_function`` anywhere inside.

    Examples:
        >>> from layerwise.schedules import from_function, is_closed_form, warmup
        >>> is_closed_form(0.5), is_closed_form(warmup(5) * 2)
        (True, True)
        >>> is_closed_form(abs), is_closed_form(warmup(5) >> from_function(abs))
        (False, False)
    """
    if isinstance(value, Schedule):
        inner = schedules_in(tuple(vars(value).values()))
        return not isinstance(value, from_function) and all(map(is_closed_form, inner))
    return not callable(value)


def values_over(
    value: float | Schedule | Callable[[Any], object],
    steps: npt.NDArray[np.integer[Any]],
    at: Callable[[Any, int], float] = lambda value, step: float(value(step)),
) -> npt.NDArray[np.float64]:
    """Evaluate a number, a schedule or a callable at each of many steps.

    Args:
        value: A number, a schedule, or a callable of the step.
        steps: The steps, shape ``(n,)``, in any order.
        at: Evaluates what is no closed form: it gets the value and a step, once for each distinct
            step. By default, the value is called.

    Returns:
        The values, shape ``(n,)``. A closed form is called once with all steps.

    Examples:
        >>> import numpy as np
        >>> from layerwise.schedules import linear, values_over
        >>> values_over(linear(4), np.arange(5)).tolist()
        [1.0, 0.75, 0.5, 0.25, 0.0]
        >>> values_over(lambda step: step / 2, np.array([3, 0])).tolist()
        [1.5, 0.0]
    """
    if not callable(value):
        return np.full(len(steps), float(value))
    if isinstance(value, Schedule) and is_closed_form(value):
        return np.asarray(value(steps), np.float64)
    distinct, places = np.unique(steps, return_inverse=True)
    return np.array([at(value, int(step)) for step in distinct], np.float64)[places]
