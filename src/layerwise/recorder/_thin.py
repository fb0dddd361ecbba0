"""Fewer rows that show the same curve, chosen in one pass and bounded memory.

``layerwise._series`` thins what is in memory as a whole; here rows come one at a time, and nobody
knows how many.
"""

import math
from typing import NamedTuple

from layerwise.recorder._columns import Cells, Column, Columns, Names
from layerwise.recorder._format import LOSS

# The first row of a bucket, those of lowest and highest loss, and one with the most columns.
_KEPT = 4


class Kept(NamedTuple):
    """A row, with its place among all rows.

    Attributes:
        place: The place.
        columns: Its columns.
        values: Its numbers.
        low: Its loss, to find the lowest; infinite if it has none.
        high: Its loss, to find the highest; minus infinity if it has none.
    """

    place: int
    columns: Names
    values: Cells
    low: float
    high: float


class Bucket(NamedTuple):
    """The rows kept of a stretch of rows."""

    first: Kept
    low: Kept
    high: Kept
    fullest: Kept


class Thinner:
    """Keeps at most ``rows`` rows: all of them if there are no more, else every peak of the loss.

    Rows fall into buckets of one width. When there are too many buckets, neighbours are merged in
    pairs and the width doubles.
    """

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self._most = max(2, (rows - 1) // _KEPT)
        self._all: list[Kept] = []
        self._buckets: list[Bucket] = []
        self._width = 1
        self._in_last = 0
        self._count = 0
        self._latest: Kept | None = None

    def add(self, columns: Names, values: Cells) -> None:
        """Take the next row."""
        row = Kept(self._count, columns, values, *_heights(columns, values))
        self._count += 1
        self._latest = row
        if self._count <= self._rows:
            self._all.append(row)
            return
        for early in self._all:
            self._sort_in(early)
        self._all.clear()
        self._sort_in(row)

    def _sort_in(self, row: Kept) -> None:
        if self._in_last < self._width and self._buckets:
            _, low, high, fullest = self._buckets[-1]
            # Nearly every row of a long run changes nothing, and costs no more than this test.
            if row.low < low.low or row.high > high.high or len(row.columns) > len(fullest.columns):
                self._buckets[-1] = _merge(self._buckets[-1], Bucket(row, row, row, row))
            self._in_last += 1
            return
        if len(self._buckets) == self._most:
            pairs = zip(self._buckets[::2], self._buckets[1::2], strict=False)
            odd = self._buckets[-1:] if self._most % 2 else []
            self._buckets = [_merge(*pair) for pair in pairs] + odd
            self._in_last = self._width if odd else 2 * self._width
            self._width *= 2
            self._sort_in(row)
            return
        self._buckets.append(Bucket(row, row, row, row))
        self._in_last = 1

    def finish(self) -> dict[str, Column]:
        """The columns of the rows kept, in order; the first and the last row are among them."""
        kept = {row.place: row for row in self._all}
        kept.update((row.place, row) for bucket in self._buckets for row in bucket)
        if self._latest is not None:
            kept[self._latest.place] = self._latest
        columns = Columns()
        for place in sorted(kept):
            columns.add(kept[place].columns, kept[place].values)
        return columns.finish()


def _merge(left: Bucket, right: Bucket) -> Bucket:
    return Bucket(
        left.first,
        min(left.low, right.low, key=lambda row: row.low),
        max(left.high, right.high, key=lambda row: row.high),
        max(left.fullest, right.fullest, key=lambda row: len(row.columns)),
    )


def _heights(columns: Names, values: Cells) -> tuple[float, float]:
    """The loss twice; NaN counts as the highest, because a reader looks for it."""
    if LOSS not in columns:
        return math.inf, -math.inf
    loss = float(values[columns.index(LOSS)])
    return (math.inf, math.inf) if math.isnan(loss) else (loss, loss)
