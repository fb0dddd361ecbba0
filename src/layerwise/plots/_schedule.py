"""A schedule over its steps."""

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes

from layerwise._series import Floats
from layerwise.errors import ScheduleError
from layerwise.plots._curves import Steps, most_steps, steps_of, thin
from layerwise.plots._style import axes, dress, from_zero, legend, lines_of, style
from layerwise.plots._ticks import number_axis, step_axis
from layerwise.schedules import Schedule, values_over


def schedule(schedule: Schedule, steps: Steps | None = None, ax: Axes | None = None) -> Axes:
    """The factor that a schedule gives, over the steps. On the same axes, another line.

    Args:
        schedule: A schedule.
        steps: How many steps from 0 on, or the steps themselves, rising; by default the
            schedule's length. An endless one needs it.
        ax: Axes to draw on; by default a new figure's.

    Returns:
        The axes.

    Raises:
        ScheduleError: It is no schedule, or an endless one without ``steps``.
        LayerwiseError: ``steps`` are no steps.

    Examples:
        >>> from layerwise import cosine, plots, warmup
        >>> ax = plots.schedule(warmup(500) >> cosine(9_500))
        >>> ax.get_title(loc="left")
        'warmup(500) >> cosine(9500)'
    """
    shown, values = evaluated(schedule, steps)
    ax = axes(ax)
    before = len(ax.lines)
    text = repr(schedule)
    ax.plot(*thin(shown, values), label=text, linewidth=2.2, **style(before))
    title = lines_of(text) if before == 0 else "Schedules"
    dress(ax, title, "step (optimizer updates)", "factor on the base rate")
    if before:
        legend(ax, ax.lines, [str(line.get_label()) for line in ax.lines])
    ax.margins(x=0.02)
    from_zero(ax)
    step_axis(ax.xaxis)
    number_axis(ax.yaxis)
    return ax


def evaluated(schedule: Schedule, steps: Steps | None) -> tuple[npt.NDArray[np.int64], Floats]:
    """The steps that are drawn, and the schedule's value at each."""
    if not isinstance(schedule, Schedule):
        raise ScheduleError(
            f"plots.schedule draws a schedule, got {schedule!r}; a function becomes one by "
            "from_function(f)."
        )
    wanted = schedule.length if steps is None else steps
    if wanted is None:
        raise ScheduleError(
            f"{schedule!r} never ends: say how many steps to draw, for example steps=10_000."
        )
    shown = steps_of(wanted, most_steps([schedule]))
    return shown, values_over(schedule, shown)
