"""The curve of a sweep: two ways to smooth it, and the rate that it suggests."""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from layerwise._checks import number
from layerwise.errors import FinderError
from layerwise.finder._finding import Suggestion

Floats = npt.NDArray[np.float64]

_MEMORY = 0.8  # of the running average: it follows within about five batches
_ROUNDING = 1e-12  # of a loss: a smaller fall doesn't count
_SHARE = 0.9  # of the fall that has been done at the suggested rate


class RunningAverage:
    """An exponential moving average of the losses so far, corrected for its short start."""

    def __init__(self) -> None:
        self._average = self._weight = 0.0
        self._smoothed: list[float] = []

    def add(self, loss: float) -> Floats:
        """Take one more loss, and return all averages. A loss that is not finite adds none."""
        if math.isfinite(loss):
            self._average = _MEMORY * self._average + (1 - _MEMORY) * loss
            self._weight = _MEMORY * self._weight + (1 - _MEMORY)
            self._smoothed.append(self._average / self._weight)
        return np.array(self._smoothed)


def smooth(losses: npt.ArrayLike, width: float = 2.0) -> Floats:
    r"""Smooth a finished curve by a moving average with Gaussian weights.

    The average looks to both sides, so that nothing moves to the right:

    $$\text{smoothed}_i = \frac{\sum_j w_{i-j} \, \text{loss}_j}{\sum_j w_{i-j}}, \quad
    w_d = \exp\left(-\frac{(d / \text{width})^2}{2}\right)$$

    The weights end at four times the width. Losses far above the start, where a network diverges,
    are averaged among themselves, so that they don't lift the others.

    Args:
        losses: Shape ``(n,)``. Losses that are NaN or infinite are left out of the average.
        width: The standard deviation of the weights in points, at least 0; 0 smooths nothing.

    Returns:
        Shape ``(n,)``; NaN where there is no finite loss near.

    Raises:
        FinderError: The width is negative or not finite.

    Examples:
        >>> smooth([3.0, 1.0, 3.0, float("nan"), 3.0], width=1).round(2)
        array([2.3 , 2.1 , 2.35, 2.8 , 2.98])
    """
    number(width, "smoothing", FinderError)
    values = np.asarray(losses, np.float64)
    finite = np.isfinite(values)
    if width == 0 or not finite.any():
        return np.where(finite, values, np.nan)
    first, best = values[finite][0], values[finite].min()
    above = np.where(finite, values, best) > first + max(first - best, abs(first))
    with np.errstate(over="ignore", invalid="ignore"):
        means = [_weighted_mean(values, finite & alike, width) for alike in (above, ~above)]
    return np.where(above, *means)


def _weighted_mean(values: Floats, taken: npt.NDArray[np.bool_], width: float) -> Floats:
    """The mean around each place of the values that are taken; NaN where none of them is near."""
    reach = int(min(4 * width, len(values) - 1))
    weights = np.exp(-((np.arange(-reach, reach + 1) / width) ** 2) / 2)
    around = slice(reach, reach + len(values))
    total = np.convolve(taken, weights)[around]
    mean = np.convolve(np.where(taken, values, 0.0), weights)[around] / total
    # Rounding must not leave the range of the losses: a flat curve stays flat.
    low, high = values.min(initial=np.inf, where=taken), values.max(initial=-np.inf, where=taken)
    return np.where(total > 0, np.clip(mean, low, high), np.nan)


def from_curve(
    rates: Sequence[float], losses: Sequence[float], smoothing: float = 2.0
) -> Suggestion:
    """Suggest the rate at which the smoothed loss has done nine tenths of its fall.

    The rate of the lowest loss says less: the curve is flat or noisy around it, and how far it
    stays flat depends on the optimizer.

    Args:
        rates: The rates of the sweep, rising.
        losses: The loss at each rate.
        smoothing: The width of the smoothing in points.

    Returns:
        The suggestion; without a rate if the curve never falls.
    """
    smoothed = smooth(losses, smoothing)
    finite = np.flatnonzero(np.isfinite(smoothed))
    if not len(finite):
        return Suggestion(None, "The loss was NaN or infinite from the first batch.")
    curve = smoothed[finite]
    bottom = int(curve.argmin())
    # The rates of the first tenth are so low that the network is as good as untrained.
    start = float(curve[: max(len(losses) // 10, 1)].mean())
    fall = start - float(curve[bottom])
    if bottom == 0 or fall <= max(_noise(losses), _ROUNDING * abs(start)):
        return Suggestion(None, "The loss falls at no rate of the sweep by more than its noise.")
    above = np.flatnonzero(curve[: bottom + 1] > start - _SHARE * fall)
    place = finite[above[-1] if len(above) else 0]
    return Suggestion(
        float(rates[place]),
        "At this rate the sweep's smoothed loss has done nine tenths of its fall.",
    )


def _noise(losses: Sequence[float]) -> float:
    """How far a smoothed curve may fall by chance, judged by how much neighbours differ."""
    values = np.array(losses)
    steps = np.abs(np.diff(values[np.isfinite(values)]))
    return 1.5 * float(np.median(steps)) if len(steps) else 0.0
