"""Series for the eye: the rows that have a value, fewer points of the same curve, and averages."""

from collections.abc import Iterable
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]
Places: TypeAlias = npt.NDArray[np.intp]

_NO_VALUE = 0x7FF8_0000_0000_07A2
ABSENT = np.int64(_NO_VALUE).view(np.float64)
"""Where a row has no value in a column: a NaN with bits of its own, which no computation gives."""

_FAR = 30.0  # a fall by this factor, one and a half decades, needs a logarithmic axis
_LARGE, _SMALLER = 2.0**960, 2.0**-64
"""A sum of values above the first may be more than a float holds; of the scaled ones it is not."""


def has_value(column: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    """Say of each row whether it has a value in a column; a NaN that was recorded is one.

    Examples:
        >>> has_value(np.array([2.0, np.nan, ABSENT])).tolist()
        [True, True, False]
    """
    bits = np.ascontiguousarray(column, np.float64).view(np.int64)
    return np.not_equal(bits, _NO_VALUE)


def lone_places(values: Floats) -> list[int]:
    """The places of the finite values between two that are not, of which no line shows anything.

    Examples:
        >>> lone_places(np.array([1.0, np.nan, 2.0, 3.0, np.inf, 4.0]))
        [0, 5]
    """
    known = np.pad(np.isfinite(values), 1)
    return np.flatnonzero(known[1:-1] & ~known[:-2] & ~known[2:]).tolist()


def places_of_extremes(values: Floats, points: int) -> Places:
    """Choose the values to draw, so that a line through them looks like a line through all.

    The values are cut into stretches of equal length. The lowest and the highest finite value of
    each stretch stay, and so do the first and the last value of all.

    Args:
        values: Shape ``(n,)``. A value that is not finite stays only if it is the first of a
            stretch that has no finite one.
        points: About how many to keep, at least 4; at most two more are kept.

    Returns:
        The places of the values that stay, rising; all places if there are no more than
        ``points``.

    Examples:
        >>> places_of_extremes(np.array([0.0, 5.0, 1.0, 2.0, 3.0, -4.0, 1.0, 1.0]), 4)
        array([0, 1, 4, 5, 7])
    """
    count = len(values)
    if count <= points:
        return np.arange(count)
    edges = _edges(count, max(points // 2, 1))
    known = np.isfinite(values)
    low = _lowest_places(np.where(known, values, np.inf), edges)
    high = _lowest_places(np.where(known, -values, np.inf), edges)
    return np.unique(np.concatenate([[0], low, high, [count - 1]]))


def thin_columns(table: Floats, columns: int) -> tuple[Places, Floats]:
    """Take columns out of a table, so that every row keeps its extremes.

    Each stretch of columns becomes two: they hold the lowest and the highest value that each row
    has there, in the order in which they came.

    Args:
        table: Shape ``(rows, n)``.
        columns: About how many columns to keep, at least 4.

    Returns:
        The place where each column begins, and the table, shape ``(rows, columns)``.

    Examples:
        >>> places, thin = thin_columns(np.array([[1.0, 9.0, 2.0, 0.0, 5.0, 5.0, 7.0, 5.0]]), 4)
        >>> places, thin
        (array([0, 2, 4, 6]), array([[9., 0., 5., 7.]]))
    """
    count = table.shape[1]
    if count <= columns:
        return np.arange(count), table
    edges = _edges(count, columns // 2)
    known = np.isfinite(table)
    low = np.stack([_lowest_places(row, edges) for row in np.where(known, table, np.inf)])
    high = np.stack([_lowest_places(row, edges) for row in np.where(known, -table, np.inf)])
    thinned = np.empty((len(table), 2 * (len(edges) - 1)))
    thinned[:, 0::2] = np.take_along_axis(table, np.minimum(low, high), axis=1)
    thinned[:, 1::2] = np.take_along_axis(table, np.maximum(low, high), axis=1)
    starts = edges[:-1]
    return np.stack([starts, (starts + edges[1:]) // 2], axis=1).ravel(), thinned


def evenly(count: int, most: int) -> Places:
    """Choose at most ``most`` of ``count`` places, evenly apart, with the first and the last.

    Examples:
        >>> evenly(100, 4)
        array([ 0, 33, 66, 99])
    """
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.intp))


def window_of(count: int) -> int:
    """How many values to average in a series of this length: one in fifty, as a round number.

    Examples:
        >>> window_of(40), window_of(1_000), window_of(100_000)
        (1, 20, 2000)
    """
    wanted = count / 50
    if wanted < 2:
        return 1
    size = 10 ** int(np.log10(wanted))
    return int(max(step * size for step in (1, 2, 5) if step * size <= wanted))


def moving_average(values: Floats, window: int | None = None) -> Floats:
    r"""Average each value with those before it.

    $$a_i = \operatorname{mean}(v_{i - w + 1}, \ldots, v_i)$$

    over the finite values. What a change of the rate does to the loss is never shown before the
    change, as it would be by an average of both sides.

    Args:
        values: Shape ``(n,)``.
        window: How many values $w$ to average, at least 1; by default ``window_of(n)``.

    Returns:
        Shape ``(n,)``; NaN where the window has no finite value.

    Examples:
        >>> moving_average(np.array([1.0, 3.0, np.nan, 5.0]), 2)
        array([1., 2., 3., 5.])
    """
    window = window_of(len(values)) if window is None else window
    known = np.isfinite(values)
    if np.abs(values).max(where=known, initial=0.0) > _LARGE:
        return moving_average(values * _SMALLER, window) / _SMALLER
    amounts = _sums_of_windows(known.astype(np.float64), window)
    sums = _sums_of_windows(np.where(known, values, 0.0), window)
    return np.where(amounts > 0, sums / np.maximum(amounts, 1), np.nan)


def falls_by_decades(curves: Iterable[Floats]) -> bool:
    """Whether a linear axis would hide how far some curve falls; no value may be 0 or below.

    Examples:
        >>> falls_by_decades([np.array([3.0, 1.0, 0.02])])
        True
        >>> falls_by_decades([np.array([0.02, 1.0])])  # such as an accuracy that rises
        False
    """
    falls = False
    for curve in curves:
        known = curve[np.isfinite(curve)]
        if len(known) and known.min() <= 0:
            return False
        highest = np.maximum.accumulate(known)
        falls = falls or bool((known < highest / _FAR).any())
    return falls


def _sums_of_windows(values: Floats, window: int) -> Floats:
    """Sum each value and those before it, ``window`` in all.

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


def _edges(count: int, stretches: int) -> Places:
    return np.linspace(0, count, stretches + 1).round().astype(np.intp)


def _lowest_places(values: Floats, edges: Places) -> Places:
    """The place of the lowest value of each stretch, the first of equals."""
    lowest = np.minimum.reduceat(values, edges[:-1])
    hits = np.flatnonzero(values == np.repeat(lowest, np.diff(edges)))
    return hits[np.searchsorted(hits, edges[:-1])]
