"""A plan's rates over the steps."""

import numpy as np
from matplotlib.axes import Axes

from layerwise._numbers import number_text
from layerwise.multipliers import Plan
from layerwise.plots._curves import Steps, steps_of, thin
from layerwise.plots._groups import group_rates, groups_of, most_steps_of, unit_of
from layerwise.plots._style import GREY, axes, dress, from_zero, legend, ramp
from layerwise.plots._ticks import number_axis, step_axis

_FAR_APART = 30  # rates that differ more are not told from 0 on a linear axis
_DEEP = 30  # below the lowest peak a schedule that goes to 0 leaves the picture


def plan(plan: Plan, steps: Steps, ax: Axes | None = None) -> Axes:
    """The rates of a plan over the steps, a line for each different one, cold slow and hot fast.

    If they lie far apart, the axis is logarithmic, and what is frozen, at 0, is only named.

    Args:
        plan: A plan; without a learning rate its multipliers are drawn.
        steps: How many steps from 0 on, or the steps themselves, rising.
        ax: Axes to draw on; by default a new figure's.

    Returns:
        The axes.

    Raises:
        LayerwiseError: ``steps`` are no steps.

    Examples:
        >>> from layerwise import plots, warmup
        >>> from layerwise.multipliers import Parameter, resolve
        >>> names = [Parameter("body/kernel"), Parameter("head/kernel")]
        >>> rules = resolve(names, {"body": 0.1}, learning_rate=1e-3, schedule=warmup(10))
        >>> ax = plots.plan(rules, steps=20)
        >>> [line.get_label() for line in ax.lines]
        ['head: 1', 'body: 0.1']
    """
    shown = steps_of(steps, most_steps_of(plan))
    groups = groups_of(plan)
    rates = group_rates(plan, groups, shown)
    # By their highest rates, fastest first; frozen ones are last as they were.
    order = sorted(range(len(groups)), key=lambda i: (groups[i].frozen, -rates[i].max()))
    moving = [i for i in order if not groups[i].frozen]
    peaks = rates[moving].max(axis=1) if moving else np.zeros(0)
    peaks = peaks[peaks > 0]
    ax = axes(ax, height=4.2)
    colors = dict(zip(moving, reversed(ramp(len(moving))), strict=True))
    width = 2.2 if len(moving) <= 8 else 1.3
    for i in order:
        ax.plot(
            *thin(shown, rates[i]),
            label=groups[i].name,
            color=colors.get(i, GREY),
            linestyle="-" if i in colors else (0, (1.2, 1.2)),
            linewidth=width if i in colors else 1.6,
        )
    unit = unit_of(plan)
    base = "" if plan.learning_rate is None else f", base {number_text(plan.learning_rate, 3)}"
    dress(ax, f"{unit.capitalize()} of each group{base}", "step (optimizer updates)", unit)
    ax.margins(x=0.02)
    if len(peaks) and peaks.max() / peaks.min() >= _FAR_APART:
        ax.set_yscale("log")
        lowest = rates[moving][rates[moving] > 0].min()
        ax.set_ylim(max(lowest, peaks.min() / _DEEP) / 1.5, peaks.max() * 1.5)
    else:
        from_zero(ax)
    step_axis(ax.xaxis)
    number_axis(ax.yaxis)
    legend(ax, ax.lines, [str(line.get_label()) for line in ax.lines], most=8)
    return ax
