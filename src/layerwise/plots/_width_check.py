"""How the changes of layers depend on a model's width."""

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes

from layerwise._text import name_text
from layerwise.plots._style import axes, dress, legend, style
from layerwise.plots._ticks import number_axis

if TYPE_CHECKING:
    from layerwise.multipliers import WidthCheck


def width_check(check: "WidthCheck", ax: Axes | None = None) -> Axes:
    """Draw each layer's change after the last step over the width; flat lines are right.

    Args:
        check: The result of a coordinate check.
        ax: Axes to draw on; by default those of a new figure.

    Returns:
        The axes.

    Examples:
        >>> from layerwise import plots
        >>> from layerwise.multipliers import WidthCheck
        >>> sizes = (((1.0, 1.1), (1.0, 1.1)),)
        >>> plots.width_check(WidthCheck((8, 16), ("a",), sizes, sizes)).get_yscale()
        'log'
    """
    ax = axes(ax)
    growth = check.change_growth
    for place, (name, changes) in enumerate(zip(check.layers, check.changes, strict=True)):
        heights = np.array([of_width[-1] for of_width in changes])
        label = f"{name_text(name)} (width^{growth[name]:.2f})"
        shown = np.where(heights > 0, heights, np.nan)  # what never moves has no place here
        ax.plot(check.widths, shown, marker="o", markersize=4, label=label, **style(place))
    ax.set_xscale("log", base=2)
    ax.set_yscale("log")
    ax.set_xticks(check.widths, [str(width) for width in check.widths])
    ax.minorticks_off()
    number_axis(ax.yaxis)
    updates = len(check.changes[0][0]) - 1
    dress(ax, "Change by layer", "width", f"change of activations in {updates} updates")
    handles, labels = ax.get_legend_handles_labels()
    legend(ax, handles, labels)
    return ax
