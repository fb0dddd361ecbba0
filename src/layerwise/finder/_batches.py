"""Batches drawn once and used again, so that rates are compared on equal data."""

from collections.abc import Iterable, Iterator
from typing import Any

from layerwise.errors import FinderError


class DataEnded(Exception):  # noqa: N818  # no error: a sweep ends there, as iterators do
    """The data can be gone through once only, and is at its end."""


class Batches:
    """The first batches of a source, by number; remembered once they are drawn.

    What can be gone through again (a list, a loader) starts again at its end; an iterator can't.

    Args:
        source: An iterable of batches.
    """

    def __init__(self, source: Iterable[Any]) -> None:
        self._source = source
        self._kept: list[Any] = []
        self._drawing: Iterator[Any] | None = None

    def __len__(self) -> int:
        """How many have been drawn."""
        return len(self._kept)

    def __getitem__(self, number: int) -> Any:
        """The batch of this number, counted from 0.

        Raises:
            FinderError: There is no batch at all.
            DataEnded: The source ended before it, and can't be gone through again.
        """
        while len(self._kept) <= number:
            self._kept.append(self._draw())
        return self._kept[number]

    def _draw(self) -> Any:
        if self._drawing is None:
            self._drawing = iter(self._source)
        for batch in self._drawing:
            return batch
        if not self._kept:
            raise FinderError(
                "The data has no batch: pass a loader or an iterable that is not empty, and no "
                "iterator that something else has used up."
            )
        again = iter(self._source)
        if again is not self._drawing:
            self._drawing = again
            for batch in self._drawing:
                return batch
        raise DataEnded
