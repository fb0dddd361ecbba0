"""Batches: drawn once and used again for every rate; several together for one update."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Generic, TypeVar

from layerwise._checks import whole
from layerwise.errors import FinderError

Batch = TypeVar("Batch")

NO_BATCH = (
    "The data has no batch: pass a loader or an iterable that is not empty, and no iterator that "
    "has been used up elsewhere."
)


class DataEnded(Exception):  # noqa: N818  # not an error: it ends a sweep, like StopIteration
    """The data has ended, and can be gone through only once."""


class Batches(Generic[Batch]):
    """The batches of a source, by number. They are kept, so that all rates see equal data.

    At its end, a source that can be iterated again (a list, a loader) starts again.

    Args:
        source: An iterable of batches.
    """

    def __init__(self, source: Iterable[Batch]) -> None:
        self._source = source
        self._kept: list[Batch] = []
        self._drawing: Iterator[Batch] | None = None

    def __len__(self) -> int:
        """How many have been drawn."""
        return len(self._kept)

    def __getitem__(self, number: int) -> Batch:
        """The batch of this number, counted from 0.

        Raises:
            FinderError: There is no batch at all.
            DataEnded: The source ended before it, and can't be iterated again.
        """
        while len(self._kept) <= number:
            self._kept.append(self._draw())
        return self._kept[number]

    def _draw(self) -> Batch:
        if self._drawing is None:
            self._drawing = iter(self._source)
        for batch in self._drawing:
            return batch
        if not self._kept:
            raise FinderError(NO_BATCH)
        again = iter(self._source)
        if again is not self._drawing:
            self._drawing = again
            for batch in self._drawing:
                return batch
        raise DataEnded


def accumulated(batches: Iterable[Batch], number: int) -> Iterable[tuple[Batch, ...]]:
    """Put the batches of one update together, for gradient accumulation.

    Batches that are left over at the end are left out.

    Args:
        batches: An iterable of batches.
        number: How many batches one update takes, at least 1.

    Returns:
        Tuples of ``number`` batches, which can be iterated as often as ``batches``. Iterating
        raises ``FinderError`` if there are fewer batches than one update takes.

    Raises:
        FinderError: ``number`` is not a whole number of at least 1.

    Examples:
        >>> list(accumulated("abcde", 2))
        [('a', 'b'), ('c', 'd')]
    """
    return _Accumulated(batches, whole(number, "accumulate", FinderError, at_least=1))


@dataclass(frozen=True)
class _Accumulated(Generic[Batch]):
    batches: Iterable[Batch]
    number: int

    def __iter__(self) -> Iterator[tuple[Batch, ...]]:
        drawing, enough = iter(self.batches), False
        while len(drawn := tuple(islice(drawing, self.number))) == self.number:
            enough = True
            yield drawn
        if drawn and not enough:
            raise FinderError(
                f"accumulate={self.number} must be at most the number of batches, which is "
                f"{len(drawn)}."
            )
