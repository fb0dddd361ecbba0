"""The steps at which a picture evaluates, and the points that a line needs."""

from collections.abc import Sequence
from operator import index
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from layerwise._series import Floats, evenly, places_of_extremes
from layerwise.errors import LayerwiseError
from layerwise.schedules import is_closed_form

Steps: TypeAlias = int | Sequence[int] | npt.NDArray[np.integer[Any]]
"""A number of steps from 0 on, or the steps themselves."""

EVERY_STEP = 200_000
"""A closed form is evaluated at so many steps at most, evenly apart."""

_CALLS = 2_000  # of a Python function at most
_POINTS = 2_000  # of a line: more than a screen is wide


def steps_of(steps: Steps, most: int = EVERY_STEP) -> npt.NDArray[np.int64]:
    """The steps to evaluate at: from 0 to ``steps``, both included, or the given ones.

    Args:
        steps: A whole number of at least 1, or at least two rising steps.
        most: How many steps to make of a number at most.

    Raises:
        LayerwiseError: ``steps`` is neither.

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
                f"steps={steps!r} must be a whole number, or at least two rising steps from 0 or "
                "later."
            ) from None
        return chosen.astype(np.int64)
    if last < 1 or isinstance(steps, bool):
        raise LayerwiseError(f"steps={steps!r} must be at least 1 step.")
    return evenly(last + 1, most).astype(np.int64)


def most_steps(values: Sequence[object]) -> int:
    """How many steps to evaluate these values at, at most."""
    return EVERY_STEP if all(map(is_closed_form, values)) else _CALLS


def thin(x: npt.ArrayLike, y: npt.ArrayLike) -> tuple[Floats, Floats]:
    """Thin a curve to the points that its line needs, so that its extremes stay."""
    xs, ys = np.asarray(x, np.float64), np.asarray(y, np.float64)
    kept = places_of_extremes(ys, _POINTS)
    return xs[kept], ys[kept]
