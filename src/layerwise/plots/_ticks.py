"""Tick labels that people understand: 1e-3, not 0.001000, and 10k, not 10000."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import Formatter, LogLocator, MaxNLocator, NullFormatter

from layerwise._numbers import number_text, step_text

_STEPS = (1, 2, 2.5, 5, 10)
_DIGITS = 6  # of a tick: two neighbours must not read the same


def over_steps(ax: Axes) -> None:
    """Put ticks at whole steps and at round values, and leave a little room at both ends."""
    ax.margins(x=0.02)
    step_axis(ax.xaxis)
    number_axis(ax.yaxis)


def step_axis(axis: Axis) -> None:
    """Put ticks at whole steps."""
    axis.set_major_locator(MaxNLocator(nbins=7, steps=_STEPS, integer=True))
    axis.set_major_formatter(_Texts(step_text))


def number_axis(axis: Axis) -> None:
    """Put ticks at round numbers, or on a logarithmic axis at powers of ten."""
    if axis.get_scale() == "linear":
        axis.set_major_locator(MaxNLocator(nbins=6, steps=_STEPS))
    else:
        low, high = axis.get_view_interval()
        short = high < 60 * low  # too few powers of ten to read from
        subs = (1.0, 2.0, 5.0) if short else (1.0,)
        axis.set_major_locator(LogLocator(subs=subs, numticks=10))
        axis.set_minor_formatter(NullFormatter())
    axis.set_major_formatter(_Texts(partial(number_text, digits=_DIGITS)))


class _Texts(Formatter):
    """Labels ticks by a function; a rounding error beside 0 is shown as 0."""

    def __init__(self, text: Callable[[float], str]) -> None:
        self._text = text

    def __call__(self, x: float, pos: int | None = None) -> str:
        """See ``Formatter``."""
        return self._text(x)

    def format_ticks(self, values: Sequence[float]) -> list[str]:
        """See ``Formatter``."""
        largest = max(map(abs, values), default=0.0)
        linear = not isinstance(self.axis, Axis) or self.axis.get_scale() == "linear"
        least = 1e-9 * largest if linear else 0.0
        return [self._text(0.0 if abs(value) < least else value) for value in np.asarray(values)]
