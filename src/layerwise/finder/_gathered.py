"""Batches gathered for updates that take several of them: gradient accumulation."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from layerwise.errors import FinderError
from layerwise.finder._options import SearchOptions

T = TypeVar("T")


def accumulated(batches: Iterable[T], number: int) -> Iterable[tuple[T, ...]]:
    """As many batches together as one update takes; fewer at the end are left out.

    Args:
        batches: What to draw from, as often as the result is gone through.
        number: How many one update takes, at least 1.

    Returns:
        Tuples of that many batches. Going through them raises ``FinderError`` if there are fewer
        batches than one update takes.

    Raises:
        FinderError: ``number`` is no whole number of at least 1.

    Examples:
        >>> list(accumulated("abcde", 2))
        [('a', 'b'), ('c', 'd')]
    """
    SearchOptions(accumulate=number)
    return _Accumulated(batches, number)


@dataclass(frozen=True)
class _Accumulated(Generic[T]):
    batches: Iterable[T]
    number: int

    def __iter__(self) -> Iterator[tuple[T, ...]]:
        waiting: list[T] = []
        enough = False
        for batch in self.batches:
            waiting.append(batch)
            if len(waiting) == self.number:
                enough = True
                yield tuple(waiting)
                waiting = []
        if waiting and not enough:
            raise FinderError(
                f"accumulate={self.number}: one update takes more batches than there are, which "
                f"are {len(waiting)}."
            )
