"""The classical suggestions: rules of thumb that read a rate off the curve of a sweep.

They are there to be compared with our suggestion. Each is a pure function of the rates and the
smoothed losses, and returns None if the curve has too few points; all but ``slide`` also if it
never falls.
"""

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from layerwise.finder._curve import Floats

_FEWEST = 3
_SLIDE_POINTS = 15
_SLIDE_THRESHOLD = 0.005


def steepest(rates: npt.ArrayLike, losses: npt.ArrayLike) -> float | None:
    r"""The rate where the loss falls fastest over the logarithm of the rate.

    It is the rate with the lowest slope,

    $$\text{slope}_i = \frac{\text{loss}_{i+1} - \text{loss}_i}
    {\log \text{rate}_{i+1} - \log \text{rate}_i}$$

    Args:
        rates: Shape ``(n,)``, rising, above 0.
        losses: Shape ``(n,)``, smoothed. Points that are not finite are left out.

    Returns:
        A rate, or None if the loss never falls.

    Examples:
        >>> steepest([1e-4, 1e-3, 1e-2, 1e-1], [2.0, 1.9, 1.0, 0.9])
        0.001

    Source: fastai's ``steep``.
    """
    x, y = _finite(rates, losses)
    if len(x) < _FEWEST:
        return None
    slopes = np.diff(y) / np.diff(np.log(x))
    return float(x[slopes.argmin()]) if slopes.min() < 0 else None


def minimum_over_10(rates: npt.ArrayLike, losses: npt.ArrayLike) -> float | None:
    """A tenth of the rate with the lowest loss.

    Args:
        rates: Shape ``(n,)``, rising, above 0.
        losses: Shape ``(n,)``, smoothed. Points that are not finite are left out.

    Returns:
        A rate, or None if the loss never falls.

    Examples:
        >>> minimum_over_10([1e-4, 1e-3, 1e-2, 1e-1], [2.0, 1.9, 1.0, 1.4])
        0.001

    Source: fastai's ``minimum``.
    """
    x, y = _finite(rates, losses)
    if len(x) < _FEWEST or y.argmin() == 0:
        return None
    return float(x[y.argmin()]) / 10


def valley(rates: npt.ArrayLike, losses: npt.ArrayLike) -> float | None:
    r"""Half way down the longest valley, as fastai counts it.

    The valley is the longest falling subsequence of the losses; points in between that rise are
    skipped. With $n$ points, its middle is $\lfloor n / 3 \rfloor + \lfloor n / 6 \rfloor$ points
    after the point that is $n$ before its end.

    Args:
        rates: Shape ``(n,)``, rising, above 0.
        losses: Shape ``(n,)``, smoothed. Points that are not finite are left out.

    Returns:
        A rate, or None if the loss never falls.

    Examples:
        >>> valley([1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1.0], [5.0, 5.0, 4.0, 3.0, 2.0, 9.0])
        0.0001

    Source: fastai's ``valley``, the default of its finder.
    """
    x, y = _finite(rates, losses)
    if len(x) < _FEWEST:
        return None
    lengths = np.ones(len(y), int)
    for place in range(1, len(y)):
        before = lengths[:place][y[:place] > y[place]]
        if len(before):
            lengths[place] = 1 + before.max()
    end = int(lengths.argmax())
    longest = int(lengths[end])
    if longest < _FEWEST:
        return None
    third = longest / 3
    start = max(end - longest, 0)
    return float(x[start + int(third) + int(third / 2)])


def slide(rates: npt.ArrayLike, losses: npt.ArrayLike) -> float | None:
    """The first place, from above, where a window of 15 points has equal slopes at both ends.

    The window slides down from the highest rate. Slopes are equal if they differ by at most 0.005
    per point.

    Args:
        rates: Shape ``(n,)``, rising, above 0.
        losses: Shape ``(n,)``, smoothed. Points that are not finite are left out.

    Returns:
        The rate just above the lower end of that window, the lowest rate if there is no such
        window, or None if there are no more than 15 points.

    Examples:
        >>> rates = np.geomspace(1e-5, 1, 40)
        >>> round(slide(rates, (np.log10(rates) + 2) ** 2), 6)
        1e-05

    Source: A. Thomas' interval slide rule, as fastai's ``slide`` has it.
    """
    x, y = _finite(rates, losses)
    if len(x) <= _SLIDE_POINTS:
        return None
    slopes = np.gradient(y)
    found = len(x) - 1 - _SLIDE_POINTS
    for low in range(found, -1, -1):
        if abs(slopes[low + _SLIDE_POINTS] - slopes[low]) <= _SLIDE_THRESHOLD:
            break
        found = low
    return float(x[found])


CANDIDATES: Mapping[str, Callable[[npt.ArrayLike, npt.ArrayLike], float | None]] = {
    "steepest": steepest,
    "minimum / 10": minimum_over_10,
    "valley": valley,
    "slide": slide,
}


def candidates(rates: npt.ArrayLike, losses: npt.ArrayLike) -> dict[str, float | None]:
    """What all classical rules suggest, by name.

    Args:
        rates: Shape ``(n,)``, rising, above 0.
        losses: Shape ``(n,)``, smoothed.

    Returns:
        A rate for each, or None.

    Examples:
        >>> candidates([1e-4, 1e-3, 1e-2, 1e-1], [2.0, 1.9, 1.0, 1.4])["minimum / 10"]
        0.001
    """
    with np.errstate(over="ignore", invalid="ignore"):  # the losses of a network that diverges
        return {name: rule(rates, losses) for name, rule in CANDIDATES.items()}


def _finite(rates: npt.ArrayLike, losses: npt.ArrayLike) -> tuple[Floats, Floats]:
    x, y = np.asarray(rates, np.float64), np.asarray(losses, np.float64)
    finite = np.isfinite(x) & np.isfinite(y)
    return x[finite], y[finite]
