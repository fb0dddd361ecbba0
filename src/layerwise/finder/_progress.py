"""How far a long computation has come: a bar in a terminal, a line every few seconds elsewhere."""

import sys
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TextIO, TypeVar

from layerwise._text import load_rich

T = TypeVar("T")

FIRST, EVERY = 2.0, 10.0
"""The seconds until the first line, which is the estimate, and between two lines after it."""


class ProgressLines:
    """Writes lines with the count and the time left.

    Args:
        what: What is being done.
        total: The most that there is to do.
        file: Where to write.
        clock: Gives the time in seconds.

    Examples:
        >>> import sys
        >>> from layerwise.finder import ProgressLines
        >>> seconds = iter(range(0, 40, 4))
        >>> lines = ProgressLines("training", 9, sys.stdout, lambda: next(seconds))
        >>> for _ in range(4):
        ...     lines.advance()
        training: 1 of 9, about 32 s at most
        training: 4 of 9, 20 s left at most
    """

    def __init__(
        self,
        what: str,
        total: int,
        file: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._what, self._total = what, total
        self._file, self._clock = file, clock
        self._began = clock()
        self._next = self._began + FIRST
        self._done, self._first = 0, True

    def advance(self, number: int = 1, what: str | None = None) -> None:
        """Note that ``number`` more are done, and write a line if it is time for one."""
        self._what = what or self._what
        self._done += number
        now = self._clock()
        if now < self._next or not self._done:
            return
        first, self._first = self._first, False
        self._next = now + EVERY
        left = (now - self._began) / self._done * max(self._total - self._done, 0)
        about = f"about {_seconds(left)} at most" if first else f"{_seconds(left)} left at most"
        if self._done >= self._total:
            about = f"done after {_seconds(now - self._began)}"
        line = f"{self._what}: {self._done:,} of {self._total:,}, {about}"
        print(line, file=self._file or sys.stderr, flush=True)  # a user asks for it


@contextmanager
def progress_bar(
    total: int, wanted: bool, what: str = "Finding a learning rate"
) -> Iterator[Callable[[], None]]:
    """Show on standard error how far a search has come.

    A terminal or notebook gets a bar, if Rich is there; anything else gets a line with an estimate
    after two seconds, and then one every ten.

    Args:
        total: The most updates to come.
        wanted: Whether to show anything.
        what: What is being done.

    Yields:
        A function to call after each update.
    """
    if not wanted:
        yield lambda: None
        return
    lines = ProgressLines(what, total)
    if find_spec("rich") is None:
        yield lines.advance
        return
    load_rich()
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    console = Console(stderr=True)
    if not (console.is_terminal or console.is_jupyter):
        yield lines.advance
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(what, total=total)
        yield lambda: progress.advance(task)


def tracked(items: Collection[T], what: str) -> Iterator[T]:
    """The items, while standard error says how many of them are done.

    Args:
        items: What a loop goes over.
        what: What is done with each.

    Examples:
        >>> from layerwise.finder import tracked
        >>> [square**2 for square in tracked(range(4), "squares")]
        [0, 1, 4, 9]
    """
    if sys.stderr.isatty() and find_spec("rich") is not None:
        load_rich()
        from rich.console import Console
        from rich.progress import track

        yield from track(items, what, console=Console(stderr=True))
        return
    lines = ProgressLines(what, len(items))
    for item in items:
        yield item
        lines.advance()


def _seconds(seconds: float) -> str:
    """A length of time as one reads it: ``40 s``, ``3 min``, ``1.5 h``."""
    if seconds < 90:
        return f"{max(round(seconds), 1)} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
