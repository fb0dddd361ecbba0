"""A schedule over its steps."""

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes

from layerwise._series import Floats
from layerwise._text import name_text, shown
from layerwise.errors import ScheduleError
from layerwise.plots._curves import Steps, most_steps, steps_of, thin
from layerwise.plots._style import axes, dress, from_zero, legend, lines_of, style
from layerwise.plots._ticks import over_steps
from layerwise.schedules import Schedule, counts_updates, is_closed_form, values_over


def schedule(schedule: Schedule, steps: Steps | None = None, ax: Axes | None = None) -> Axes:
    """Draw a schedule's factor over the steps; a second schedule on the same axes adds a line.

    Args:
        schedule: A schedule.
        steps: How many steps from 0 on, or the rising steps themselves; by default the schedule's
            length. An endless schedule needs it. Of a schedule ``.by("tokens")`` these are tokens,
            also of a product of such schedules with numbers.
        ax: Axes to draw on; by default those of a new figure.

    Returns:
        The axes.

    Raises:
        ScheduleError: It is no schedule, an endless one without ``steps``, or it counts two things.
        LayerwiseError: ``steps`` is neither of these.

    Examples:
        >>> from layerwise import cosine, plots, warmup
        >>> ax = plots.schedule(warmup(500) >> cosine(9_500))
        >>> ax.get_title(loc="left")
        'warmup(500) >> cosine(9500)'
    """
    text = name_text(repr(schedule))
    at, values = evaluated(schedule, steps)
    unit = "".join(schedule.counters) or "step (optimizer updates)"
    ax = axes(ax)
    before = len(ax.lines)
    ax.plot(*thin(at, values), label=text, linewidth=2.2, **style(before))
    title = lines_of(text) if before == 0 else "Schedules"
    dress(ax, title, unit, "factor on the base rate")
    if before:
        legend(ax, ax.lines, [str(line.get_label()) for line in ax.lines])
    from_zero(ax)
    over_steps(ax)
    return ax


def evaluated(schedule: Schedule, steps: Steps | None) -> tuple[npt.NDArray[np.int64], Floats]:
    """The steps to draw, and the schedule's value at each.

    Of a schedule that counts one thing, and no updates beside it, they are counts of that.
    """
    if not isinstance(schedule, Schedule):
        raise ScheduleError(
            f"plots.schedule: schedule must be a schedule, got {shown(schedule)}. from_function(f) "
            "makes one of a function."
        )
    _check_counted(schedule)
    if schedule.length == 0:
        schedule(0)  # raises the error that says what to do
    wanted = schedule.length if steps is None else steps
    if wanted is None:
        raise ScheduleError(
            f"{shown(schedule)} never ends, so say how many steps to draw, such as steps=10_000."
        )
    at = steps_of(wanted, most_steps([schedule]))
    if not schedule.counters:
        return at, values_over(schedule, at)
    (counter,) = schedule.counters
    if is_closed_form(schedule):
        return at, np.asarray(schedule(np.zeros_like(at), **{counter: at}), np.float64)
    return at, np.array([schedule(0, **{counter: int(count)}) for count in at])


def _check_counted(schedule: Schedule) -> None:
    """Raise if a schedule counts two things, which one axis can't show."""
    counted = sorted(schedule.counters)
    if counted and counts_updates(schedule):
        counted.append("updates")
    if len(counted) > 1:
        raise ScheduleError(
            f"{shown(schedule)} counts {' and '.join(counted)}, which no single axis can show. "
            "Draw its factors one by one."
        )
