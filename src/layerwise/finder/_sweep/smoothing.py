"""Smoothing of a finished sweep: it looks to both sides, so that nothing is moved to the right."""

import numpy as np
import numpy.typing as npt

from layerwise.errors import FinderError

Floats = npt.NDArray[np.float64]


def smooth(losses: npt.ArrayLike, width: float = 2.0) -> Floats:
    """A moving average with Gaussian weights over the points of a curve.

        smoothed(i) = sum_j w(i - j) * loss(j) / sum_j w(i - j),    w(d) = exp(-(d / width)**2 / 2)

    The weights end at four times the width. Losses far above the start (a network that diverges)
    are averaged among themselves, so that the others keep their own values.

    Args:
        losses: Shape ``(n,)``; NaN and infinite ones are left out of the average.
        width: The standard deviation of the weights in points, at least 0; 0 smooths nothing.

    Returns:
        Shape ``(n,)``; NaN where there is no finite loss near.

    Raises:
        FinderError: A width that is negative or not finite.

    Examples:
        >>> smooth([3.0, 1.0, 3.0, float("nan"), 3.0], width=1).round(2)
        array([2.3 , 2.1 , 2.35, 2.8 , 2.98])
    """
    if not 0 <= width < np.inf:
        raise FinderError(f"smoothing={width!r}: a finite number of points, at least 0.")
    values = np.asarray(losses, np.float64)
    known = np.isfinite(values)
    if width == 0 or not known.any():
        return np.where(known, values, np.nan)
    first, best = values[known][0], values[known].min()
    above = np.where(known, values, best) > first + max(first - best, abs(first))
    places = np.arange(len(values))
    distances = places[:, None] - places[None, :]
    weights = np.where(np.abs(distances) <= 4 * width, np.exp(-((distances / width) ** 2) / 2), 0)
    weights = weights * known * (above[:, None] == above[None, :])
    total = weights.sum(axis=1)
    with np.errstate(invalid="ignore"):
        averages: Floats = np.where(
            total > 0, weights @ np.where(known, values, 0.0) / total, np.nan
        )
    return averages
