"""What is drawn, as plain functions: values over steps, averages, and fewer points of a curve."""

from collections.abc import Sequence
from operator import index
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from layerwise._series import Floats, places_of_extremes
from layerwise.errors import LayerwiseError
from layerwise.schedules import is_closed_form

Steps: TypeAlias = int | Sequence[int] | npt.NDArray[np.integer[Any]]
"""So many steps from 0 on, or exactly these."""

EVERY_STEP = 200_000
"""As many steps a closed form is evaluated at; of more, evenly spaced ones."""

_CALLS = 2_000  # of a Python function
_POINTS = 2_000  # of a line: more than a screen is wide


def steps_of(steps: Steps, most: int = EVERY_STEP) -> npt.NDArray[np.int64]:
    """The steps to evaluate at: 0 to ``steps``, both included, or those given.

    Args:
        steps: A number of at least 1, or at least two steps, rising.
        most: With a number, how many at most.

    Raises:
        LayerwiseError: It is neither.

    Examples:
        >>> steps_of(10, most=6).tolist(), steps_of([0, 5, 7]).tolist()
        ([0, 2, 4, 6, 8, 10], [0, 5, 7])
    """
    try:
        last = index(steps)  # type: ignore[arg-type]  # what is no whole number raises
    except TypeError:
        chosen = np.asarray(steps)
        whole = chosen.ndim == 1 and len(chosen) > 1 and chosen.dtype.kind in "iu"
        if not whole or chosen[0] < 0 or np.any(np.diff(chosen) <= 0):
            raise LayerwiseError(
                f"steps={steps!r}: give a whole number of steps, or two or more of them, rising "
                "from 0 or later."
            ) from None
        return chosen.astype(np.int64)
    if last < 1 or isinstance(steps, bool):
        raise LayerwiseError(f"steps={steps!r}: a picture needs at least 1 step.")
    if last < most:
        return np.arange(last + 1)
    return np.unique(np.linspace(0, last, most).round().astype(np.int64))


def most_steps(values: Sequence[Any]) -> int:
    """How many steps are evaluated at most, given what is to be evaluated."""
    return EVERY_STEP if all(map(is_closed_form, values)) else _CALLS


def thin(x: npt.ArrayLike, y: npt.ArrayLike) -> tuple[Floats, Floats]:
    """Both coordinates of a curve, with so few points as a line needs."""
    xs, ys = np.asarray(x, np.float64), np.asarray(y, np.float64)
    kept = places_of_extremes(ys, _POINTS)
    return xs[kept], ys[kept]
