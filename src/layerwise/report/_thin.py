"""Fewer points for the same picture: of every stretch the lowest and the highest stay."""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.intp]


def places_of_extremes(values: Floats, points: int) -> Places:
    """Which values to draw, so that a line through them looks like a line through all.

    The values are cut into stretches of equal length, and of each the lowest and the highest
    finite value stay, beside the first and the last of all.

    Args:
        values: Shape ``(n,)``; NaN and infinite ones stay only as a stretch's first value, where
            it has no other.
        points: About how many are wanted, at least 4; no more than two above are given.

    Returns:
        The places of what stays, rising; all of them if there are no more than are wanted.

    Examples:
        >>> places_of_extremes(np.array([0.0, 5.0, 1.0, 2.0, 3.0, -4.0, 1.0, 1.0]), 4)
        array([0, 1, 4, 5, 7])
    """
    count = len(values)
    if count <= points:
        return np.arange(count)
    edges = _edges(count, max(points // 2, 1))
    known = np.isfinite(values)
    low = _first_best(np.where(known, values, np.inf), edges)
    high = _first_best(np.where(known, -values, np.inf), edges)
    return np.unique(np.concatenate([[0], low, high, [count - 1]]))


def thin_columns(table: Floats, columns: int) -> tuple[Places, Floats]:
    """A table with fewer columns, in which every row keeps its extremes.

    Each stretch of columns becomes two: for every row its lowest and its highest value there, in
    the order in which they came.

    Args:
        table: Shape ``(rows, n)``.
        columns: About how many columns are wanted, at least 4.

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
    low = np.stack([_first_best(row, edges) for row in np.where(known, table, np.inf)])
    high = np.stack([_first_best(row, edges) for row in np.where(known, -table, np.inf)])
    thinned = np.empty((len(table), 2 * (len(edges) - 1)))
    thinned[:, 0::2] = np.take_along_axis(table, np.minimum(low, high), axis=1)
    thinned[:, 1::2] = np.take_along_axis(table, np.maximum(low, high), axis=1)
    starts = edges[:-1]
    return np.stack([starts, (starts + edges[1:]) // 2], axis=1).ravel(), thinned


def evenly(count: int, wanted: int) -> Places:
    """At most so many places of ``count``, evenly apart, the first and the last among them.

    Examples:
        >>> evenly(100, 4)
        array([ 0, 33, 66, 99])
    """
    return np.unique(np.linspace(0, count - 1, min(count, wanted)).round().astype(np.intp))


def _edges(count: int, stretches: int) -> Places:
    return np.linspace(0, count, stretches + 1).round().astype(np.intp)


def _first_best(values: Floats, edges: Places) -> Places:
    """The place of the lowest value of each stretch, the first of equals."""
    lowest = np.minimum.reduceat(values, edges[:-1])
    hits = np.flatnonzero(values == np.repeat(lowest, np.diff(edges)))
    return hits[np.searchsorted(hits, edges[:-1])]
