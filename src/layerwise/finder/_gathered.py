"""Batches gathered for updates that take several of them: gradient accumulation."""

from collections.abc import Iterable, Iterator
from typing import Any

from layerwise.errors import FinderError
from layerwise.finder._sweep.sweep import is_whole


class Gathered:
    """As many batches together as one update takes; fewer at the end are left out.

    Args:
        batches: What to gather from, as often as this is gone through.
        number: How many one update takes, at least 1.

    Raises:
        FinderError: ``number`` is no whole number of at least 1; when gone through, there are
            fewer batches than that.

    Examples:
        >>> list(Gathered("abcde", 2))
        [('a', 'b'), ('c', 'd')]
    """

    def __init__(self, batches: Iterable[Any], number: int) -> None:
        if not is_whole(number) or number < 1:
            raise FinderError(f"accumulate={number!r}: a whole number of batches, at least 1.")
        self._batches = batches
        self._number = number

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        waiting: list[Any] = []
        enough = False
        for batch in self._batches:
            waiting.append(batch)
            if len(waiting) == self._number:
                enough = True
                yield tuple(waiting)
                waiting = []
        if waiting and not enough:
            raise FinderError(
                f"accumulate={self._number}: one update takes more batches than there are, "
                f"which are {len(waiting)}."
            )
