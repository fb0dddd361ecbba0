"""Several runs in one picture."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes

from layerwise._series import falls_by_decades, moving_average
from layerwise._text import name_text, shown
from layerwise.errors import RecorderError
from layerwise.plots._curves import thin
from layerwise.plots._history import VALIDATION, curve_of, draw_line
from layerwise.plots._style import axes, dress, legend, style
from layerwise.plots._ticks import over_steps

if TYPE_CHECKING:
    from layerwise.recorder import History


def compare(
    histories: "Iterable[History]", ax: Axes | None = None, *, column: str = "loss"
) -> Axes:
    """Draw the loss of several runs: moving averages of the batches, and points for the validation.

    If a loss falls by decades, the axis is logarithmic.

    Args:
        histories: The runs' records.
        ax: Axes to draw on; by default those of a new figure.
        column: What to compare: ``"loss"`` or the name of a metric.

    Returns:
        The axes.

    Raises:
        RecorderError: No run has this column.

    Examples:
        >>> import tempfile
        >>> from layerwise import plots
        >>> from layerwise.recorder import History, Recorder
        >>> runs = [tempfile.mkdtemp(), tempfile.mkdtemp()]
        >>> for run in runs:
        ...     with Recorder(run) as recorder:
        ...         recorder.log_many({"step": s, "loss": 1 / (1 + s)} for s in range(9))
        >>> len(plots.compare(map(History.load, runs)).lines)
        2
    """
    runs = _with_column(list(histories), column)
    ax = axes(ax, height=4.2)
    handles = []
    along = ""
    for place, run in enumerate(runs):
        columns = run.batch if column in run.batch else run.epoch
        x, values, along = curve_of(columns, column)
        average = moving_average(values) if columns is run.batch else values
        label = name_text(run.name)
        handles.append(draw_line(ax, x, average, label=label, linewidth=2.2, **style(place)))
        x, validated, _ = curve_of(run.epoch, VALIDATION + column)
        if len(validated):
            ax.plot(
                *thin(x, validated),
                linestyle="none",
                marker="o",
                markersize=4.5,
                color=style(place)["color"],
                label=f"_{label}, validation",
            )
    dots = " (points: validation)" if len(ax.lines) > len(handles) else ""
    dress(ax, f"{column.capitalize()} of {len(runs)} runs{dots}", along, column)
    if falls_by_decades(np.asarray(line.get_ydata(), np.float64) for line in ax.lines):
        ax.set_yscale("log")
    over_steps(ax)
    legend(ax, handles, [run.name for run in runs])
    return ax


def _with_column(runs: "Sequence[History]", column: str) -> "list[History]":
    """The runs that have a column.

    Raises:
        RecorderError: None has it.
    """
    found = [run for run in runs if column in run.batch or column in run.epoch]
    if not found:
        there = sorted({name for run in runs for name in (*run.batch, *run.epoch)})
        raise RecorderError(
            f"None of these {len(runs)} runs has the column {shown(column)}. They have "
            f"{name_text(', '.join(there)) or 'none'}."
        )
    return found
