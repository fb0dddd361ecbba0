"""What a search for a learning rate found."""

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes

from layerwise._numbers import number_text
from layerwise.plots._style import (
    BLUE,
    GREEN,
    GREY,
    PURPLE,
    VERMILLION,
    axes,
    dress,
    inks,
    legend,
    lines_of,
    note_above,
)
from layerwise.plots._ticks import number_axis

if TYPE_CHECKING:
    from layerwise.finder import LRFinding

_MARKERS = ("v", "s", "D", "^", "P", "X")


def finding(finding: "LRFinding", ax: Axes | None = None) -> Axes:
    """Draw the loss over the rate, raw and smoothed, with the suggestion and classical ones.

    A loss that explodes leaves the picture at the top, and so do probes that diverged.

    Args:
        finding: The result of a search.
        ax: Axes to draw on; by default those of a new figure.

    Returns:
        The axes.

    Examples:
        >>> from layerwise import plots
        >>> from layerwise.finder import QuadraticTrainer, search
        >>> found = search(QuadraticTrainer(), range(100), method="sweep", progress=False)
        >>> plots.finding(found).get_xscale()
        'log'
    """
    rates, smoothed = np.array(finding.rates), np.array(finding.smoothed)
    ax = axes(ax, height=4.2)
    ax.plot(rates, finding.losses, color=GREY, linewidth=1.0, alpha=0.8, label="each batch")
    ax.plot(rates, smoothed, color=BLUE, linewidth=2.4, label="smoothed")
    _mark_candidates(ax, finding)
    if finding.probes:
        ax.plot(
            [probe.rate for probe in finding.probes],
            [probe.score for probe in finding.probes],
            linestyle="none",
            marker="o",
            markersize=4.5,
            color=GREEN,
            zorder=3,
            label="after short trainings",
        )
    dress(ax, "Loss over the learning rate", "learning rate", "loss")
    ax.set_xscale("log")
    if finding.suggestion is None:
        note_above(ax, lines_of(f"No suggestion: {finding.reason}", width=72), 0.0, "left")
    else:
        _mark(ax, finding.suggestion, loss_at(rates, smoothed, finding.suggestion))
    scores = [probe.score for probe in finding.probes]
    ax.set_ylim(*loss_limits(finding.losses, smoothed, scores))
    number_axis(ax.xaxis)
    number_axis(ax.yaxis)
    named = [line for line in ax.lines if not str(line.get_label()).startswith("_")]
    legend(ax, named, [str(line.get_label()) for line in named])
    return ax


def loss_at(rates: npt.ArrayLike, losses: npt.ArrayLike, rate: float) -> float:
    """The loss of a curve at a rate, interpolated over the logarithm; NaN if it has no point."""
    x, y = np.asarray(rates, np.float64), np.asarray(losses, np.float64)
    finite = np.isfinite(y)
    if not finite.any():
        return float("nan")
    return float(np.interp(np.log(rate), np.log(x[finite]), y[finite]))


def loss_limits(
    losses: npt.ArrayLike, smoothed: npt.ArrayLike, scores: npt.ArrayLike = ()
) -> tuple[float, float]:
    """The range of losses to show: that up to the best one, and half as much again above it.

    Args:
        losses: The loss of each batch, shape ``(n,)``.
        smoothed: The smoothed losses, shape ``(n,)``.
        scores: Other losses, of which the lowest must be visible.

    Returns:
        The lowest and the highest loss to show.

    Examples:
        >>> loss_limits([2.0, 1.0, 90.0], [2.0, 1.0, 90.0])
        (0.9, 2.5)
    """
    raw, even = np.asarray(losses, np.float64), np.asarray(smoothed, np.float64)
    best = int(np.nanargmin(even)) if np.isfinite(even).any() else len(raw) - 1
    before = raw[: best + 1]
    before = before[np.isfinite(before)]
    others = np.asarray(scores, np.float64)
    everything = np.concatenate([raw, others])
    everything = everything[np.isfinite(everything)]
    if not len(everything):
        return 0.0, 1.0
    low, high = float(everything.min()), float(before.max(initial=everything.min()))
    span = (high - low) or abs(high) or 1.0
    return low - 0.1 * span, high + 0.5 * span


def _mark_candidates(ax: Axes, finding: "LRFinding") -> None:
    """Mark what the classical rules suggest on the smoothed curve."""
    ink, _ = inks(ax)
    suggested = {name: rate for name, rate in finding.candidates.items() if rate is not None}
    for place, (name, rate) in enumerate(suggested.items()):
        ax.plot(
            [rate],
            [loss_at(finding.rates, finding.smoothed, rate)],
            linestyle="none",
            marker=_MARKERS[place % len(_MARKERS)],
            markersize=7,
            color=PURPLE,
            markeredgecolor=ink,
            markeredgewidth=0.7,
            zorder=4,
            label=f"{name}: {number_text(rate, 3)}",
        )


def _mark(ax: Axes, rate: float, loss: float) -> None:
    """Mark the suggestion: a line, a point on the curve, and its number above the axes."""
    ax.axvline(rate, color=VERMILLION, linewidth=1.8, zorder=2.5, label="_suggestion")
    ax.plot(
        [rate], [loss], marker="o", markersize=11, color=VERMILLION, zorder=5, label="_suggestion"
    )
    low, high = ax.get_xlim()
    place = (np.log(rate) - np.log(low)) / (np.log(high) - np.log(low))
    align = "left" if place < 0.15 else "right" if place > 0.85 else "center"
    note_above(
        ax, f"suggestion {number_text(rate, 3)}", place, align, fontsize=11, fontweight="bold"
    )
