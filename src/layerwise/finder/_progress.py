"""The progress bar of a search, on standard error."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec


@contextmanager
def progress_bar(total: int, wanted: bool) -> Iterator[Callable[[], None]]:
    """A bar of so many updates while the block runs; none without Rich or without a terminal.

    Args:
        total: The most updates that are to come.
        wanted: Whether there is to be a bar.

    Yields:
        A function to call after each update.
    """
    if not wanted or find_spec("rich") is None:
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    console = Console(stderr=True)
    if not (console.is_terminal or console.is_jupyter):
        yield lambda: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("Finding a learning rate", total=total)
        yield lambda: progress.advance(task)
