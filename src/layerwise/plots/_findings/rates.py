"""What a search for a rate for each band found: the multipliers, and the probes behind them."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.colors import LogNorm, Normalize
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter

from layerwise._numbers import number_text
from layerwise._rates_shown import answer_text, bars_from, rate_text, tilt_text
from layerwise._text import name_text
from layerwise.errors import LayerwiseError
from layerwise.plots._style import (
    BLUE,
    GREY,
    MAP,
    PLAIN,
    PURPLE,
    VERMILLION,
    axes,
    dress,
    dress_second,
    figure_of,
    inks,
    legend,
    lines_of,
    note_above,
)
from layerwise.plots._ticks import number_axis

if TYPE_CHECKING:
    from matplotlib.lines import Line2D

    from layerwise.finder import RatesFinding

_NAME = 24  # characters of a band's name
_ROW = 0.42  # inches, the height of a bar with its gap
_FEW = 4  # bars
_CELL = 0.25  # decades of rate that a cell is wide at most
_MOST = 1.0  # colours are logarithmic if a loss is above the lowest by more than this share of it


def rates(finding: "RatesFinding", ax: Axes | None = None) -> Axes:
    """Draw the multiplier of each band as a bar, the input at the top and the head at the bottom.

    The thin line under a bar is the range of multipliers that are as good within the error, with
    an arrow if it goes down to 0 on a logarithmic axis; at the right stands the rate. A band whose
    multiplier is 0 is frozen.

    Args:
        finding: The result of a search for rates.
        ax: Axes to draw on; by default those of a new figure, as high as the bands need.

    Returns:
        The axes.

    Raises:
        LayerwiseError: The finding has no bands.

    Examples:
        >>> from layerwise import plots
        >>> from layerwise.finder import Bands, QuadraticBands, search_rates
        >>> bands = Bands((("body",), ("head",)))
        >>> found = search_rates(QuadraticBands((1.0, 1.0)), range(500), bands, progress=False)
        >>> [label.get_text() for label in plots.rates(found).get_yticklabels()]
        ['body', 'head']
    """
    if not finding.bands:
        raise LayerwiseError("A finding must have bands to be drawn: this one has none.")
    bands = finding.bands
    ax = axes(ax, height=min(max(1.9 + _ROW * len(bands), 2.6), 8.0))
    answered = finding.learning_rate is not None
    left = bars_from(finding)
    places = np.arange(len(bands))
    if answered:
        values = np.array([band.multiplier for band in bands])
        widths = np.maximum(values - left, 0.0)
        ax.barh(places - 0.06, widths, left=left, height=0.5, color=BLUE, zorder=2)
        _ranges(ax, finding, left)
    dress(ax, "Multiplier of each band of layers", "multiplier (thin line: as good)", "")
    ax.grid(visible=False)
    ax.grid(axis="x", color=GREY, alpha=0.28, linewidth=0.7)
    beside = max(_FEW - len(bands), 0) / 2  # so that few bars are no thicker
    ax.set_ylim(len(bands) - 0.4 + beside, -0.6 - beside)
    ax.set_yticks(places, [name_text(band.name, _NAME) for band in bands], **PLAIN)
    ax.set_xscale("log" if left else "linear")
    most = max(max(band.high, band.multiplier) for band in bands)
    ax.set_xlim(left, most * (1.35 if left else 1.06) or 1.0)
    number_axis(ax.xaxis)
    _rate_column(ax, finding)
    text = answer_text(finding) if answered else _no_answer(finding)
    note_above(ax, text, 0.0, "left")
    return ax


def _no_answer(finding: "RatesFinding") -> str:
    return lines_of(f"No answer: {finding.reason}", width=60, most=5)


def _ranges(ax: Axes, finding: "RatesFinding", left: float) -> None:
    """Draw the range that is as good under each bar, and say which bands are frozen."""
    ink, quiet = inks(ax)
    for place, band in enumerate(finding.bands):
        if band.low < band.high:
            low, under = max(band.low, left), place + 0.31
            ax.plot([low, band.high], [under, under], color=ink, linewidth=1.4, zorder=3)
            for end, marker in ((low, "<" if band.low < left else "|"), (band.high, "|")):
                ax.plot([end], [under], color=ink, marker=marker, markersize=6, zorder=3)
        if not band.multiplier:
            ax.annotate(
                "frozen",
                (left, place),
                (4, 0),
                textcoords="offset points",
                va="center",
                fontsize=9,
                color=quiet,
            )


def _rate_column(ax: Axes, finding: "RatesFinding") -> None:
    """Write the rate of each band at the right, as the ticks of a second axis."""
    if finding.learning_rate is None:
        return
    second = ax.twinx()
    second.set_ylim(ax.get_ylim())
    texts = [rate_text(finding, band) for band in finding.bands]
    second.set_yticks(np.arange(len(texts)), texts)
    dress_second(second, "learning rate", inks(ax)[1])


def rates_heat_map(finding: "RatesFinding", ax: Axes | None = None) -> Axes:
    """Draw each place that was tried, over base rate and tilt, coloured by its held-out loss.

    The colour says by which share the mean loss is above that of the best place, or how many times
    as high it is where losses are far apart. Losses are taken relative to those without training,
    since some held-out data is harder. A training that broke or was stopped counts as none.

    Args:
        finding: The result of a search for rates.
        ax: Axes to draw on; by default those of a new figure.

    Returns:
        The axes.

    Raises:
        LayerwiseError: The finding has no probes.

    Examples:
        >>> from layerwise import plots
        >>> from layerwise.finder import Bands, QuadraticBands, search_rates
        >>> bands = Bands((("body",), ("head",)))
        >>> found = search_rates(QuadraticBands((1.0, 1.0)), range(500), bands, progress=False)
        >>> plots.rates_heat_map(found).get_xlabel()
        'base rate'
    """
    losses = losses_by_place(finding)
    if not losses:
        raise LayerwiseError("A finding must have probes to be drawn: this one has none.")
    tilts = sorted({tilt for _, tilt in losses} | {finding.tilt, 1.0})
    rows = {tilt: row for row, tilt in enumerate(tilts)}
    ax = axes(ax, height=max(2.4 + 0.36 * len(tilts), 3.0))
    half = 10 ** (_width(list(losses)) / 2)
    cells = PatchCollection(
        [
            Rectangle((rate / half, rows[tilt] - 0.45), rate * (half - 1 / half), 0.9)
            for rate, tilt in losses
        ],
        cmap=MAP,
        norm=_norm(max(losses.values())),
        zorder=2,
    )
    above = np.array(list(losses.values()))
    cells.set_array(above + 1 if isinstance(cells.norm, LogNorm) else above)
    ax.add_collection(cells)
    marks = _marks(ax, finding, rows)
    dress(ax, "Held-out loss of the short trainings", "base rate", "")
    drawn = [rate for rate, _ in losses]
    drawn += [rate for rate in (finding.learning_rate, finding.single_rate) if rate is not None]
    ax.set_xscale("log")
    ax.set_xlim(min(drawn) / half**2, max(drawn) * half**2)
    ax.set_ylim(-0.7, len(tilts) - 0.3)
    ax.set_yticks(range(len(tilts)), [tilt_text(tilt) for tilt in tilts], **PLAIN)
    number_axis(ax.xaxis)
    _colour_bar(ax, cells)
    if finding.learning_rate is None:
        note_above(ax, _no_answer(finding), 0.0, "left")
    legend(ax, marks, [str(mark.get_label()) for mark in marks])
    return ax


def losses_by_place(finding: "RatesFinding") -> Mapping[tuple[float, float], float]:
    """By which share the mean held-out loss at each base rate and tilt is above the lowest.

    Where losses are not all above 0, it is the share of the largest gain that was missed.
    """
    used = finding.probes
    starts = [finding.untrained[probe.division] for probe in used]
    scores = [min(probe.score, start) for probe, start in zip(used, starts, strict=True)]
    positive = all(score > 0 for score in scores)
    most = max((start - s for s, start in zip(scores, starts, strict=True)), default=0.0) or 1.0
    places: dict[tuple[float, float], list[float]] = {}
    for probe, score, start in zip(used, scores, starts, strict=True):
        left = score / start if positive else 1 - (start - score) / most
        places.setdefault((probe.rate, probe.tilt), []).append(left)
    means = {place: float(np.mean(left)) for place, left in places.items()}
    best = min(means.values(), default=0.0)
    return {place: m / best - 1 if positive else m - best for place, m in means.items()}


def _width(places: Sequence[tuple[float, float]]) -> float:
    """The width of a cell in decades, at which no two in a row touch."""
    gaps = [
        abs(np.log10(rate / other))
        for rate, tilt in places
        for other, same in places
        if tilt == same and rate < other
    ]
    return float(min([_CELL, *gaps])) * 0.94


def _marks(ax: Axes, finding: "RatesFinding", rows: Mapping[float, int]) -> list["Line2D"]:
    """Mark the answer, and the best single rate where that is another."""
    made = []
    look: dict[str, Any] = {
        "linestyle": "none",
        "markerfacecolor": "none",
        "zorder": 4,
        "clip_on": False,
    }
    rate = finding.learning_rate
    if rate is not None:
        made += ax.plot(
            [rate],
            [rows[finding.tilt]],
            marker="o",
            markersize=13,
            markeredgewidth=3,
            color=VERMILLION,
            label=f"answer: base rate {number_text(rate, 3)}",
            **look,
        )
    single = finding.single_rate
    if single is not None and (rate is None or finding.tilt != 1.0):
        made += ax.plot(
            [single],
            [rows[1.0]],
            marker="D",
            markersize=9,
            markeredgewidth=2.4,
            color=PURPLE,
            label=f"best single rate: {number_text(single, 3)}",
            **look,
        )
    return made


def _norm(most: float) -> Normalize:
    """From the lowest loss to the highest; logarithmic if that is more than twice as high."""
    return LogNorm(1.0, 1.0 + most) if most > _MOST else Normalize(0.0, most or _MOST)


def _colour_bar(ax: Axes, cells: PatchCollection) -> None:
    quiet, times = inks(ax)[1], isinstance(cells.norm, LogNorm)
    bar = figure_of(ax).colorbar(cells, ax=ax, pad=0.02, aspect=30)
    text = "loss, times the lowest" if times else "loss above the lowest"
    bar.set_label(text, color=quiet, fontsize=9.5)
    bar.outline.set_visible(False)
    bar.ax.tick_params(which="both", color=GREY, labelcolor=quiet, labelsize=9)
    if times:
        number_axis(bar.ax.yaxis)
    else:
        bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:.3g} %"))
