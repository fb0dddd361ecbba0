"""A run: its loss, metrics and rates."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from layerwise._series import (
    ABSENT,
    Floats,
    falls_by_decades,
    has_value,
    lone_places,
    moving_average,
)
from layerwise._text import name_text
from layerwise.plots._curves import drawable, thin
from layerwise.plots._style import (
    BLUE,
    GREEN,
    GREY,
    PLAIN,
    PURPLE,
    VERMILLION,
    axes,
    dress,
    dress_second,
    from_zero,
    inks,
    legend,
)
from layerwise.plots._ticks import number_axis, over_steps

if TYPE_CHECKING:
    from layerwise.recorder import History

Columns: TypeAlias = Mapping[str, npt.NDArray[Any]]

LineStyle: TypeAlias = str | tuple[float, tuple[float, ...]]
Look: TypeAlias = tuple[str, LineStyle]
"""A colour and dashes."""

VALIDATION = "val_"

_RATES = "rates/"
_EACH = "each batch"
_DASHED: LineStyle = (0, (5, 1.6))
_DOTTED: LineStyle = (0, (1.2, 1.2))
_METRICS: tuple[Look, ...] = (
    (GREEN, "-"),
    (PURPLE, "-"),
    (GREEN, _DASHED),
    (PURPLE, _DASHED),
)
_RATE_LOOKS: tuple[Look, ...] = tuple(
    (color, dashes)
    for dashes in ("-", _DASHED, _DOTTED)
    for color in (VERMILLION, "#A8730A", "#C4424F", "#8C6D5E")
)
"""Warm colours, that no loss and no metric has."""
_FEW = 3  # groups that are told apart by their dashes alone
_FAR_APART = 30  # if rates of groups differ more, a linear axis can't tell the low ones from 0
_ALIKE = 8  # a metric shares the loss's axis if it differs by at most this factor
_MARGIN = 58  # points from the second axis to a third


def history(history: "History", ax: Axes | None = None) -> Axes:
    """Draw a run: the loss of each batch, its moving average, the metrics, and the rates.

    The rates have a second axis at the right, a line for each of up to twelve groups; for more,
    their range is drawn. Where a loss falls by decades, or rates lie decades apart, the axis is
    logarithmic.
    Metrics share the axis of the loss, or have a third one if they are of another size. The
    validation is dotted, with a point at the end of each epoch.

    Args:
        history: A run's record.
        ax: Axes to draw on; by default those of a new figure.

    Returns:
        The axes of the loss. The other axes share its steps.

    Examples:
        >>> import tempfile
        >>> from layerwise import plots
        >>> from layerwise.recorder import History, Recorder
        >>> run = tempfile.mkdtemp()
        >>> with Recorder(run) as recorder:
        ...     recorder.log_many({"step": s, "loss": 1 / (1 + s), "rate": 0.1} for s in range(9))
        >>> [line.get_label() for line in plots.history(History.load(run)).lines]
        ['each batch', 'loss']
    """
    batch, epoch = history.batch, history.epoch
    ax = axes(ax, height=4.2)
    along = _draw(ax, history, "loss", (BLUE, "-"), raw=True)
    metrics = history.metrics
    together = [name for name in metrics if _alike(history, name)]
    apart = [name for name in metrics if name not in together]
    title = f"{name_text(history.name, 40)}: loss, metrics and rates"
    dress(ax, title if metrics else title.replace(", metrics", ""), along, "")
    quantities = name_text(", ".join(["loss", *together[:3]]))
    ax.set_ylabel(quantities, color=inks(ax)[1], fontsize=9.5, **PLAIN)
    looks = dict(zip(metrics, _METRICS * (len(metrics) // len(_METRICS) + 1), strict=False))
    for name in together:
        _draw(ax, history, name, looks[name])
    handles = list(ax.lines)
    averages = [line for line in ax.lines if line.get_label() != _EACH]
    if falls_by_decades(np.asarray(line.get_ydata(), np.float64) for line in averages):
        ax.set_yscale("log")
    rates = rates_of(batch if _has(batch) else epoch)
    if rates:
        second = _behind(ax)
        _draw_rates(second, _rows(batch if _has(batch) else epoch)[0], rates)
        dress_second(second, "learning rate", VERMILLION)
        number_axis(second.yaxis)
        handles += second.lines
    if apart:
        third = ax.twinx()
        for name in apart:
            _draw(third, history, name, looks[name])
        dress_second(third, ", ".join(apart[:3]), looks[apart[0]][0])
        if rates:
            third.spines["right"].set_position(("outward", _MARGIN))
        number_axis(third.yaxis)
        handles += third.lines
    if not handles:
        ax.text(0.5, 0.5, "nothing recorded yet", transform=ax.transAxes, ha="center", color=GREY)
    over_steps(ax)
    named = [line for line in handles if not str(line.get_label()).startswith("_")]
    legend(ax, named, [str(line.get_label()) for line in named])
    return ax


def rates_of(columns: Columns) -> dict[str, Floats]:
    """The rates of a record by the names of their lines: those of the groups, else the base rate.

    For more than twelve groups, they are the highest and the lowest rate at each step.
    """
    groups = {
        name.removeprefix(_RATES): np.asarray(values, np.float64)
        for name, values in columns.items()
        if name.startswith(_RATES)
    }
    if not groups:
        base = columns.get("rate")
        return {} if base is None else {"learning rate": np.asarray(base, np.float64)}
    if len(groups) <= len(_RATE_LOOKS):
        return {f"rate of {name}": values for name, values in groups.items()}
    every = np.array(list(groups.values()))
    # Unlike max and min, these two pass over what was not recorded.
    known = has_value(every).any(axis=0)
    highest, lowest = (np.where(known, ufunc.reduce(every), ABSENT) for ufunc in (np.fmax, np.fmin))
    return {f"highest of {len(groups)} rates": highest, "lowest": lowest}


def _behind(ax: Axes) -> Axes:
    """A second y axis at the right, with its lines behind those of the first."""
    second = ax.twinx()
    second.set_zorder(ax.get_zorder() - 1)
    second.patch.set_visible(True)
    second.set_facecolor(ax.get_facecolor())
    ax.patch.set_visible(False)
    return second


def _draw_rates(ax: Axes, x: Floats, rates: Mapping[str, Floats]) -> None:
    """Draw rates as thin lines, with a shade between the highest and the lowest of many."""
    looks = _RATE_LOOKS[:: len(_RATE_LOOKS) // _FEW] if len(rates) <= _FEW else _RATE_LOOKS
    peaks = []
    for (name, values), (color, dashes) in zip(rates.items(), looks, strict=False):
        known = has_value(values)
        line = draw_line(ax, x[known], values[known], color=color, linestyle=dashes, linewidth=1.3,
                         label=name_text(name))  # fmt: skip
        drawn = np.asarray(line.get_ydata(), np.float64)
        peaks.append(drawn.max(where=np.isfinite(drawn), initial=0.0))
    if "lowest" in rates:
        known = has_value(rates["lowest"])
        high, low = (drawable(values[known]) for values in rates.values())
        ax.fill_between(x[known], low, high, color=VERMILLION, alpha=0.12, linewidth=0)
    peaks = [peak for peak in peaks if peak > 0]
    if peaks and min(peaks) < max(peaks) / _FAR_APART:
        # The peaks alone decide: a rate that falls to almost 0 is easier to read on a linear axis.
        ax.set_yscale("log")
        ax.set_ylim(min(peaks) / _FAR_APART, max(peaks) * 1.5)
    else:
        from_zero(ax)


def _draw(ax: Axes, history: "History", name: str, look: Look, *, raw: bool = False) -> str:
    """Draw the averaged batches of a quantity, else its epochs, and its validation.

    Returns:
        What the x axis shows.
    """
    batch, epoch = history.batch, history.epoch
    color, dashes = look
    label = name_text(name)
    validation = VALIDATION + name
    x, values, along = curve_of(batch if name in batch else epoch, name)
    if name in batch:
        if raw:
            ax.plot(*thin(x, values), color=GREY, linewidth=0.8, alpha=0.6, label=_EACH)
        values = moving_average(values)
    if name in batch or name in epoch:
        draw_line(ax, x, values, color=color, linestyle=dashes, linewidth=2.2, label=label)
    if validation in epoch or validation in batch:
        # Without rows of epochs it was measured in the middle of them, every few batches.
        columns = epoch if validation in epoch else batch
        x, validated, along_validation = curve_of(columns, validation)
        finite = np.isfinite(validated)
        ax.plot(
            *thin(x[finite], validated[finite]),
            color=color,
            linestyle=_DOTTED,
            linewidth=1.2,
            marker="o",
            markersize=4.5,
            label=name_text(validation),
        )
        along = along if name in batch or name in epoch else along_validation
    return along


def draw_line(ax: Axes, x: Floats, y: Floats, **look: Any) -> Line2D:
    """Draw a line, with a marker at each point that no line shows: one that has no neighbour."""
    across, up = thin(x, y)
    lone = lone_places(up)
    (line,) = ax.plot(across, up, marker="o" if lone else None, markevery=lone or None, **look)
    return line


def curve_of(columns: Columns, name: str) -> tuple[Floats, Floats, str]:
    """The places on the x axis of the rows with a value, the values, and what the axis shows."""
    x, along = _rows(columns)
    if name not in columns:
        return np.empty(0), np.empty(0), along
    known = has_value(columns[name])
    return x[known], np.asarray(columns[name], np.float64)[known], along


def _rows(columns: Columns) -> tuple[Floats, str]:
    """The places of rows on the x axis, and what it shows."""
    if "step" in columns or "epoch" not in columns:
        return np.asarray(columns.get("step", []), np.float64), "step (optimizer updates)"
    return np.asarray(columns["epoch"], np.float64), "epoch"


def _has(columns: Columns) -> bool:
    return any(len(values) for values in columns.values())


def _alike(history: "History", name: str) -> bool:
    """Whether a metric is about as large as the loss, so that they can share an axis."""
    sizes = []
    for wanted in ("loss", name):
        found = [
            np.abs(np.asarray(columns[column], np.float64))
            for columns in (history.batch, history.epoch)
            for column in (wanted, VALIDATION + wanted)
            if column in columns
        ]
        values = np.concatenate(found) if found else np.zeros(0)
        values = values[np.isfinite(values)]
        sizes.append(float(np.quantile(values, 0.98)) if len(values) else 0.0)
    loss, metric = sizes
    return not loss or loss / _ALIKE <= metric <= loss * _ALIKE
