"""The progress while it runs, and the results as a table and a sentence."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO, cast

import numpy as np

from layerwise._numbers import counted, number_text
from layerwise.demo._compare import FEW, Advance, Comparison, Result, Settings
from layerwise.demo._ways import LAYERWISE, SINGLE
from layerwise.finder import ProgressLines, RatesFinding

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
            f"loss and accuracy on {comparison.tested:,} images after "
            f"{counted(settings.steps, 'step')} on {comparison.backend}: mean over "
            f"{counted(settings.seeds, 'draw')} of the few labels, accuracy ± standard deviation; "
            "base rate: geometric mean of what is found in each draw; rates found: each tilt, and "
            "in how many draws"
        ),
        show_edge=False,
        pad_edge=False,
        collapse_padding=True,
        title_justify="left",
        caption_justify="left",
    )
    for heading in ("  way", "rules"):
        shown.add_column(heading)
    for heading in ("base rate", "loss", "accuracy", "beats\nsingle"):
        shown.add_column(heading, justify="right")
    best, single = comparison.ranking[0], comparison.of(SINGLE)
    for result in comparison.results:
        shown.add_row(
            f"{'★' if result is best else ' '} {result.way.name}",
            _rules(result),
            number_text(result.rate, 2),
            f"{result.loss:.3f}",
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
    return f"The finder, for {LAYERWISE.name}: {comparison.of(LAYERWISE).draws[0].finding.reason}"


def verdict(comparison: Comparison) -> str:
    """Say which way came first, by how much, whether that could be chance, and what the loss says.

    Args:
        comparison: The results.
    """
    best, second = comparison.ranking[:2]
    lead = np.subtract(best.accuracies, second.accuracies)
    words = (
        f"This time {best.way.name} came first with {best.accuracy:.3f} right, ahead of "
        f"{second.way.name} by {best.accuracy - second.accuracy:.3f}, and better in "
        f"{_wins(best, second)} of {counted(len(lead), 'draw')}"
    )
    if len(lead) == 1:
        return f"{words}; one draw says little. {_lowest_loss(comparison)}"
    # All ways share their draws, so the lead is judged draw by draw.
    error = float(np.std(lead, ddof=1)) / np.sqrt(len(lead))
    clear = lead.mean() > 2 * error
    times = "more than twice" if clear else "too close to call, not even twice"
    return (
        f"{words}; the lead is {times} its standard error of {error:.3f}. "
        f"{_lowest_loss(comparison)}"
    )


def _lowest_loss(comparison: Comparison) -> str:
    lowest, second = sorted(comparison.results, key=lambda result: result.loss)[:2]
    return (
        f"{lowest.way.name.capitalize()} had the lowest loss, {lowest.loss:.3f}; "
        f"{second.way.name} came second with {second.loss:.3f}."
    )


def _rules(result: Result) -> str:
    """The rules of a way, or the tilts that were found, and in how many draws."""
    if result.way.rules is not None:
        return repr(result.way.rules)
    found = (draw.finding for draw in result.draws)
    tilts = Counter(finding.tilt for finding in found if isinstance(finding, RatesFinding))
    return ", ".join(
        f"{'even' if tilt == 1 else f'{tilt:g}'} ({times})" for tilt, times in sorted(tilts.items())
    )


def _wins(result: Result, other: Result) -> int:
    return sum(a > b for a, b in zip(result.accuracies, other.accuracies, strict=True))


def _accuracy(result: Result) -> str:
    spread = "" if result.spread is None else f" ± {result.spread:.3f}"
    return f"{result.accuracy:.3f}{spread}"
