"""The moving average that a noisy curve is read by."""

import numpy as np

from layerwise.report._thin import Floats


def window_of(count: int) -> int:
    """How many values to average: one in fifty, as a round number.

    Examples:
        >>> window_of(40), window_of(1_000), window_of(100_000)
        (1, 20, 2000)
    """
    wanted = count / 50
    if wanted < 2:
        return 1
    size = 10 ** int(np.log10(wanted))
    return int(max(step * size for step in (1, 2, 5) if step * size <= wanted))


def moving_average(values: Floats, window: int) -> Floats:
    """The mean of each value and those before it, at most ``window``, without what isn't finite.

    Args:
        values: Shape ``(n,)``.
        window: At least 1.

    Returns:
        Shape ``(n,)``; NaN where the window has no finite value.

    Examples:
        >>> moving_average(np.array([1.0, 3.0, np.nan, 5.0]), 2)
        array([1., 2., 3., 5.])
    """
    known = np.isfinite(values)
    amounts = _sums_of_windows(known.astype(np.float64), window)
    sums = _sums_of_windows(np.where(known, values, 0.0), window)
    averages: Floats = np.where(amounts > 0, sums / np.maximum(amounts, 1), np.nan)
    return averages


def _sums_of_windows(values: Floats, window: int) -> Floats:
    """The sum of each value and those before it, ``window`` in all.

    A difference of running sums would lose all digits behind one loss of 1e30. So the values are
    cut into blocks of one window's length: every window is the end of a block and the start of
    the next.
    """
    count = len(values)
    blocks = np.zeros(window * (-(-count // window) + 1))
    blocks[window : window + count] = values
    starts = np.cumsum(blocks.reshape(-1, window), axis=1).ravel()
    ends = np.cumsum(blocks.reshape(-1, window)[:, ::-1], axis=1)[:, ::-1].ravel()
    sums = starts[window : window + count].copy()
    inside = np.arange(count) % window < window - 1
    sums[inside] += ends[np.arange(count)[inside] + 1]
    return sums
