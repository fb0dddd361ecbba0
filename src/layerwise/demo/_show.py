"""The progress while it runs, and the results as a table and a sentence."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO, cast

import numpy as np

from layerwise._numbers import counted, number_text
from layerwise._rates_shown import tilt_text
from layerwise.demo._compare import FEW, Advance, Comparison, Result, Settings
from layerwise.demo._ways import LAYERWISE, SINGLE
from layerwise.finder import ProgressLines

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


@contextmanager
def progress(settings: Settings, console: "Console") -> Iterator[Advance]:
    """Show how far it has come while the block runs: a bar, or lines where there is no terminal.

    Args:
        settings: How much there is to train.
        console: Where to draw.

    Yields:
        The function that ``compare`` takes as ``advance``.
    """
    from rich.progress import (
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
    )

    if not console.is_terminal:
        lines = ProgressLines("starting", settings.updates, cast("TextIO", console.file))
        yield lambda name, updates: lines.advance(updates, name)
        return
    columns = (TextColumn("{task.description:<16}"), BarColumn(), TaskProgressColumn())
    with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as bar:
        task = bar.add_task("starting", total=settings.updates)
        yield lambda name, updates: bar.update(task, description=name, advance=updates)


def ways_table(comparison: Comparison) -> "Table":
    """Make a table with a row for each way, of which the best one is marked.

    Args:
        comparison: The results.

    Returns:
        A Rich table.
    """
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    settings = comparison.settings
    shown = Table(
        box=SIMPLE_HEAD,
        title=f"From MNIST to UCI digits with {FEW} labels of each class",
        caption=(
            f"accuracy on {comparison.tested:,} images after {counted(settings.steps, 'step')} on "
            f"{comparison.backend}: mean ± standard deviation over "
            f"{counted(settings.seeds, 'draw')}; base rate: what the finder suggests from the "
            f"few labels in {counted(settings.tried, 'draw')}, geometric mean; rates found: by a "
            f"search of {counted(settings.budget, 'update')} in each of these, the one of the "
            "middle tilt"
        ),
        show_edge=False,
        pad_edge=False,
        title_justify="left",
        caption_justify="left",
    )
    for heading in ("  way", "rules"):
        shown.add_column(heading)
    for heading in ("base rate", "accuracy", "beats single"):
        shown.add_column(heading, justify="right")
    best = comparison.ranking[0]
    [single] = [result for result in comparison.results if result.way is SINGLE]
    for result in comparison.results:
        shown.add_row(
            f"{'★' if result is best else ' '} {result.way.name}",
            repr(result.rules) if result.found is None else tilt_text(result.found.tilt),
            number_text(result.rate, 2),
            _accuracy(result),
            "" if result is single else f"{_wins(result, single)} of {settings.seeds}",
            style="bold" if result is best else None,
        )
    return shown


def finding_text(comparison: Comparison) -> str:
    """What the finder said about the layer-wise way in its first draw.

    Args:
        comparison: The results.
    """
    [layerwise] = [result for result in comparison.results if result.way is LAYERWISE]
    return f"The finder, for {layerwise.way.name}: {layerwise.findings[0].reason}"


def verdict(comparison: Comparison) -> str:
    """Say which way came first, by how much, and whether that could be chance.

    Args:
        comparison: The results.
    """
    best, second = comparison.ranking[:2]
    lead = np.subtract(best.accuracies, second.accuracies)
    words = (
        f"This time {best.way.name} came first with {best.mean:.3f}, ahead of {second.way.name} "
        f"by {best.mean - second.mean:.3f}, and better in {_wins(best, second)} of "
        f"{counted(len(lead), 'draw')}"
    )
    if len(lead) == 1:
        return f"{words}; one draw says little."
    # All ways share their draws, so the lead is judged draw by draw.
    error = float(np.std(lead, ddof=1)) / np.sqrt(len(lead))
    clear = lead.mean() > 2 * error
    times = "more than twice" if clear else "too close to call, not even twice"
    return f"{words}; the lead is {times} its standard error of {error:.3f}."


def _wins(result: Result, other: Result) -> int:
    return sum(a > b for a, b in zip(result.accuracies, other.accuracies, strict=True))


def _accuracy(result: Result) -> str:
    spread = "" if result.spread is None else f" ± {result.spread:.3f}"
    return f"{result.mean:.3f}{spread}"
