"""What is drawn, as plain functions: values over steps, averages, and fewer points of a curve."""

from collections.abc import Sequence
from operator import index
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from layerwise.errors import LayerwiseError
from layerwise.schedules import is_closed_form

Floats: TypeAlias = npt.NDArray[np.float64]
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


def thin(x: npt.ArrayLike, y: npt.ArrayLike, points: int = _POINTS) -> tuple[Floats, Floats]:
    """A curve with fewer points that looks the same: of each stretch its lowest and its highest.

    Args:
        x: Shape ``(n,)``.
        y: Shape ``(n,)``; NaN counts as neither.
        points: How many are left, about.

    Returns:
        Both, with the first and the last point; unchanged if there are no more than ``points``.

    Examples:
        >>> x, y = thin(np.arange(1000), np.sin(np.arange(1000)), points=100)
        >>> len(x) <= 102, bool(y.max() == np.sin(np.arange(1000)).max())
        (True, True)
    """
    xs, ys = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if len(xs) <= points:
        return xs, ys
    stretches = np.array_split(np.arange(len(xs)), max(points // 2, 1))
    low, high = np.nan_to_num(ys, nan=np.inf), np.nan_to_num(ys, nan=-np.inf)
    kept = {0, len(xs) - 1}
    for own in stretches:
        kept |= {int(own[low[own].argmin()]), int(own[high[own].argmax()])}
    places = np.array(sorted(kept))
    return xs[places], ys[places]


def moving_average(values: npt.ArrayLike, window: int | None = None) -> Floats:
    """The mean of each value's neighbourhood, as many before as after it.

        average(i) = mean of the finite values(j) with |i - j| <= window // 2

    Args:
        values: Shape ``(n,)``; what is not finite is left out.
        window: How many values, at least 1; by default a fortieth of all. Even ones count as the
            next odd one; at both ends there are fewer.

    Returns:
        Shape ``(n,)``; NaN where no neighbour is finite.

    Examples:
        >>> moving_average([1.0, 2.0, 6.0, float("nan"), 3.0], window=3).tolist()
        [1.5, 3.0, 4.0, 4.5, 3.0]
    """
    known = np.asarray(values, np.float64)
    half = (window if window is not None else max(len(known) // 40, 1)) // 2
    finite = np.isfinite(known)
    sums = np.concatenate([[0.0], np.cumsum(np.where(finite, known, 0.0))])
    counts = np.concatenate([[0], np.cumsum(finite)])
    first = np.maximum(np.arange(len(known)) - half, 0)
    end = np.minimum(np.arange(len(known)) + half + 1, len(known))
    with np.errstate(invalid="ignore"):
        averages: Floats = (sums[end] - sums[first]) / (counts[end] - counts[first])
    return averages
