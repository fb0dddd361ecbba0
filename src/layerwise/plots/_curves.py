"""The steps at which a picture evaluates, and the points that a line needs."""

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from layerwise._checks import MOST_STEPS, as_number
from layerwise._series import Floats, evenly, places_of_extremes
from layerwise._text import shown
from layerwise.errors import LayerwiseError
from layerwise.schedules import is_closed_form

Steps: TypeAlias = int | Sequence[int] | npt.NDArray[np.integer[Any]]
"""A number of steps from 0 on, or the steps themselves."""

EVERY_STEP = 200_000
"""The most steps that a closed form is evaluated at; they are evenly apart."""

_CALLS = 2_000  # of a Python function at most
_MOST = 1e150  # what is drawn at most, since Matplotlib computes with its square
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
    last = as_number(steps)
    if last is not None:
        if not 1 <= last <= MOST_STEPS or last != int(last):
            raise LayerwiseError(
                f"steps={shown(steps)} must be a whole number from 1 to 2**53, or rising steps."
            )
        return evenly(int(last) + 1, most).astype(np.int64)
    try:
        chosen = np.asarray(steps)
    except Exception:  # lists of different lengths, and whatever a stranger's array raises
        chosen = np.zeros(0)
    rising = chosen.ndim == 1 and len(chosen) > 1 and chosen.dtype.kind in "iu"
    if not rising or chosen[0] < 0 or np.any(chosen[1:] <= chosen[:-1]):
        raise LayerwiseError(
            f"steps={shown(steps)} must be a whole number, or at least two rising steps from 0 or "
            "later."
        )
    return chosen.astype(np.int64)


def most_steps(values: Sequence[object]) -> int:
    """How many steps to evaluate these values at, at most."""
    return EVERY_STEP if all(map(is_closed_form, values)) else _CALLS


def drawable(values: Floats) -> Floats:
    """The values; those beyond 1e150 lie there, since Matplotlib fails at the ends of floats."""
    return np.where(np.isfinite(values), np.clip(values, -_MOST, _MOST), values)


def thin(x: npt.ArrayLike, y: npt.ArrayLike) -> tuple[Floats, Floats]:
    """Thin a curve to the points that its line needs, so that its extremes stay."""
    xs, ys = np.asarray(x, np.float64), drawable(np.asarray(y, np.float64))
    kept = places_of_extremes(ys, _POINTS)
    return xs[kept], ys[kept]
