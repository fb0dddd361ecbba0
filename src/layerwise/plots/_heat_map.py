"""A plan as a heat map: the rate of each layer at each step."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import LogNorm, Normalize
from matplotlib.patches import Rectangle

from layerwise._checks import as_number
from layerwise._series import Floats
from layerwise._text import name_text
from layerwise._text import shown as _shown
from layerwise.errors import LayerwiseError
from layerwise.multipliers import Plan, Value
from layerwise.plots._curves import Steps, steps_of
from layerwise.plots._groups import group_rates, groups_of, unit_of
from layerwise.plots._style import GREY, MAP, PLAIN, axes, dress, figure_of, inks
from layerwise.plots._ticks import number_axis, step_axis

_COLUMNS = 241
_FAR_APART = 20  # rates that differ more get a logarithmic scale,
_DEEP = 1e4  # which reaches so far down at most
_ROW = 0.19  # inches, the height of a label


def heat_map(
    plan: Plan, steps: Steps, ax: Axes | None = None, *, schedule: Value | None = None
) -> Axes:
    """Draw the rate of every layer over the steps, the first layer at the top.

    A layer whose parameters have different rates gets a row for each of them. Where a rate is 0
    for longer than a moment, the picture is hatched.

    Args:
        plan: A plan; if it has no learning rate, its multipliers are drawn.
        steps: How many steps from 0 on, of which about 240 are drawn, or the rising steps
            themselves.
        ax: Axes to draw on; by default those of a new figure, as high as the plan needs.
        schedule: A schedule to draw the plan under instead of its own. If the plan has no learning
            rate, that times the multipliers is drawn.

    Returns:
        The axes.

    Raises:
        LayerwiseError: ``steps`` is neither of these, ``schedule`` is no number and can't be called
            with a step, the plan is empty, or a rate counts more than updates.

    Examples:
        >>> from layerwise import layer_decay, plots
        >>> from layerwise.multipliers import Parameter, resolve
        >>> names = [Parameter(f"block_{i}/kernel") for i in range(4)]
        >>> ax = plots.heat_map(resolve(names, layer_decay(0.5), learning_rate=0.1), steps=100)
        >>> [label.get_text() for label in ax.get_yticklabels()]
        ['block_0', 'block_1', 'block_2', 'block_3']
    """
    if not plan.rows:
        raise LayerwiseError("The plan must have parameters: this one is empty.")
    shown = steps_of(steps, _COLUMNS)
    unit = unit_of(plan)
    if schedule is not None:
        unit = unit if plan.learning_rate is not None else "factor on the base rate"
        plan = _under(schedule, plan)
    names, rates = layer_rates(plan, shown)
    ax = axes(ax, height=min(max(1.7 + _ROW * 1.15 * len(names), 3.0), 8.0))
    frozen = lasting_zeros(rates)
    mesh = ax.pcolormesh(
        shown,
        np.arange(len(names)),
        np.ma.masked_array(rates, frozen),
        norm=_norm(rates),
        cmap=MAP,
        shading="nearest",
        rasterized=True,
    )
    ax.add_patch(
        Rectangle(
            (0, 0), 1, 1, transform=ax.transAxes, fill=False, hatch="////", edgecolor=GREY,
            linewidth=0, alpha=0.5, zorder=0,
        )
    )  # fmt: skip
    note = " (hatched: 0)" if frozen.any() else ""
    dress(ax, f"{unit.capitalize()} of each layer{note}", "step (optimizer updates)", "")
    ax.grid(visible=False)
    ax.spines["bottom"].set_visible(False)
    ax.set_ylim(len(names) - 0.5, -0.5)
    _label_rows(ax, names)
    step_axis(ax.xaxis)
    _colour_bar(ax, mesh, unit)
    return ax


def _under(schedule: Value, plan: Plan) -> Plan:
    """The plan under another schedule; without a learning rate, its factors on a rate of 1.

    Raises:
        LayerwiseError: The schedule is no number and can't be called with a step.
    """
    factor = as_number(schedule)
    if not callable(schedule) and (factor is None or not 0 <= factor < np.inf):
        raise LayerwiseError(
            "plots.heat_map: schedule must be a schedule, another callable of the step or a "
            f"finite number of at least 0, got {_shown(schedule)}."
        )
    base = 1.0 if plan.learning_rate is None else plan.learning_rate
    return replace(plan, learning_rate=base, schedule=schedule if factor is None else factor)


def _norm(rates: Floats) -> Normalize:
    """The scale of the colours: logarithmic if the rates differ much."""
    positive = rates[rates > 0]
    low, high = (positive.min(), positive.max()) if len(positive) else (0.0, 1.0)
    low = max(low, high / _DEEP)
    return LogNorm(low, high, clip=True) if high / low > _FAR_APART else Normalize(0.0, high)


def _colour_bar(ax: Axes, mesh: QuadMesh, unit: str) -> None:
    """Explain the colours beside the axes."""
    bar = figure_of(ax).colorbar(mesh, ax=ax, pad=0.02, aspect=30)
    quiet = inks(ax)[1]
    bar.set_label(unit, color=quiet, fontsize=9.5)
    bar.outline.set_visible(False)
    bar.ax.tick_params(which="both", color=GREY, labelcolor=quiet, labelsize=9)
    number_axis(bar.ax.yaxis)


def layer_rates(plan: Plan, steps: npt.NDArray[np.int64]) -> tuple[list[str], Floats]:
    """The names of the layers in the plan's order, and their rates, shape ``(layers, steps)``."""
    groups = groups_of(plan)
    rates = group_rates(plan, groups, steps)
    own = {place: number for number, group in enumerate(groups) for place in group.rows}
    layers: dict[str, list[int]] = {}
    for place, row in enumerate(plan.rows):
        layer, _, _ = row.parameter.name.rpartition(plan.separator)
        layers.setdefault(layer or row.parameter.name, []).append(place)
    rows: dict[str, int] = {}
    for layer, places in layers.items():
        if len({own[place] for place in places}) == 1:
            rows[layer] = own[places[0]]
        else:
            rows |= {plan.rows[place].parameter.name: own[place] for place in places}
    return list(rows), rates[list(rows.values())]


def lasting_zeros(rates: Floats) -> npt.NDArray[np.bool_]:
    """Where a rate is 0 at several steps in a row, not only where a schedule starts or ends.

    Args:
        rates: Shape ``(layers, steps)``.

    Examples:
        >>> lasting_zeros(np.array([[0.0, 0.5, 0.0], [0.0, 0.0, 1.0]])).tolist()
        [[False, False, False], [True, True, False]]
    """
    zero = rates == 0
    around = np.pad(zero, ((0, 0), (1, 1)))
    lasting: npt.NDArray[np.bool_] = zero & (around[:, :-2] | around[:, 2:])
    return lasting


def _label_rows(ax: Axes, names: Sequence[str]) -> None:
    """Label as many rows as there is room for, evenly."""
    room = ax.get_position().height * figure_of(ax).get_figheight() / _ROW
    every = max(1, -(-len(names) // max(int(room), 1)))
    places = range(0, len(names), every)
    ax.set_yticks(list(places), [name_text(names[place], 26) for place in places], **PLAIN)
