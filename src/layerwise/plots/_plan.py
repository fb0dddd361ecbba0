"""A plan's rates over the steps."""

import numpy as np
from matplotlib.axes import Axes

from layerwise._numbers import number_text
from layerwise.multipliers import Plan
from layerwise.plots._curves import Steps, most_steps, steps_of, thin
from layerwise.plots._groups import group_rates, groups_of, unit_of
from layerwise.plots._style import GREY, axes, dress, from_zero, legend, ramp
from layerwise.plots._ticks import over_steps

_FAR_APART = 30  # if peaks differ more, a linear axis can't tell the low ones from 0
_DEEP = 30  # a logarithmic axis ends so far below the lowest peak


def plan(plan: Plan, steps: Steps, ax: Axes | None = None) -> Axes:
    """Draw the rates of a plan over the steps, a line for each group, slow cold and fast hot.

    If the rates lie far apart, the axis is logarithmic, and frozen groups, at 0, are only named.

    Args:
        plan: A plan; if it has no learning rate, its multipliers are drawn.
        steps: How many steps from 0 on, or the rising steps themselves.
        ax: Axes to draw on; by default those of a new figure.

    Returns:
        The axes.

    Raises:
        LayerwiseError: ``steps`` is neither of these, or a rate counts more than updates.

    Examples:
        >>> from layerwise import plots, warmup
        >>> from layerwise.multipliers import Parameter, resolve
        >>> names = [Parameter("body/kernel"), Parameter("head/kernel")]
        >>> rules = resolve(names, {"body": 0.1}, learning_rate=1e-3, schedule=warmup(10))
        >>> ax = plots.plan(rules, steps=20)
        >>> [line.get_label() for line in ax.lines]
        ['head: 1', 'body: 0.1']
    """
    shown = steps_of(steps, most_steps([plan.schedule, *(value for value, _ in plan.groups)]))
    groups = groups_of(plan)
    rates = group_rates(plan, groups, shown)
    # Fastest first, by their highest rates; frozen ones last.
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
    if len(peaks) and peaks.max() / peaks.min() >= _FAR_APART:
        ax.set_yscale("log")
        lowest = rates[moving][rates[moving] > 0].min()
        ax.set_ylim(max(lowest, peaks.min() / _DEEP) / 1.5, peaks.max() * 1.5)
    else:
        from_zero(ax)
    over_steps(ax)
    legend(ax, ax.lines, [str(line.get_label()) for line in ax.lines], most=8)
    return ax
