"""Heat maps, layer by step: rates of a plan or of a record, and update-to-weight ratios."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from layerwise._numbers import NOTHING, counted, number_text, whole_text
from layerwise._series import Floats, evenly, thin_columns
from layerwise.report._lines import STEP, numbers
from layerwise.report._picture import Picture, Table
from layerwise.report._rates import MOST_LINES
from layerwise.report._run import RATES, RATIOS, Run, as_floats

CELLS = 120_000
"""Cells of all heat maps of a page together."""

RATE, MULTIPLIER, RATIO = "learning rate", "multiplier", "update ÷ weights (ratio of norms)"
MOST_ROWS = 400
TABLE_STEPS = 6
SAMPLE = 500
DECADES = 6
"""How far below the highest the colours reach; what is lower has the lowest colour."""


@dataclass(frozen=True)
class Grid:
    """Values of each layer at each step.

    Attributes:
        names: Of the layers, each once.
        steps: Shape ``(n,)``, rising.
        values: Shape ``(layers, n)``.
        unit: What the values are.
    """

    names: tuple[str, ...]
    steps: Floats
    values: Floats
    unit: str


@dataclass(frozen=True)
class Subject:
    """What the heat maps of one section are about.

    Attributes:
        name: In the id of each.
        words: The caption; ``{unit}``, ``{layers}``, ``{range}`` and ``{grey}`` are put in.
        grey: What grey means, if there is any.
    """

    name: str
    words: str
    grey: str


def rates(runs: Sequence[Run]) -> list[Picture]:
    """The rate of every layer over time: from the plan, or else from the recorded groups."""
    grids = [(run, planned(run) or recorded(run, RATES, RATE, MOST_LINES)) for run in runs]
    words = "The {unit} of {layers} by step, {range}. Lighter is higher{grey}."
    return _pictures(grids, Subject("rates", words, "; grey is 0"))


def ratios(runs: Sequence[Run]) -> list[Picture]:
    """How large each layer's updates were beside its weights."""
    grids = [(run, recorded(run, RATIOS, RATIO)) for run in runs]
    words = (
        "How large each update of {layers} was beside the weights, by step, {range}. Lighter is "
        "higher; around 1e-3 is usual{grey}."
    )
    return _pictures(grids, Subject("ratios", words, "; grey is 0, no update"))


def planned(run: Run) -> Grid | None:
    """The rates that the run's plan laid down."""
    plan = run.history.plan
    if not plan:
        return None
    try:
        names = tuple(map(str, plan["table"]["parameter"]))
        values = as_floats(plan["rates"])[np.asarray(plan["of"], np.intp)]
        steps = as_floats(plan["steps"])
        unit = MULTIPLIER if plan["shows"] == "multiplier" else RATE
    except (KeyError, TypeError, ValueError, IndexError):
        return None
    if not names or values.shape != (len(names), len(steps)):
        return None
    last = as_floats(run.batch.get("step", np.empty(0))).max(initial=0.0)
    if len(steps) == 1 and last > steps[0]:
        # A plan in which nothing changes is known at its first step only.
        steps, values = np.array([steps[0], last]), np.repeat(values, 2, axis=1)
    return Grid(names, steps, values, unit)


def recorded(run: Run, prefix: str, unit: str, more_than: int = 0) -> Grid | None:
    """The columns of one kind, where there are more than so many."""
    columns = run.family(prefix)
    if len(columns) <= more_than:
        return None
    values = np.stack([as_floats(column) for column in columns.values()])
    # Ratios are there every k steps only.
    there = np.isfinite(values).any(axis=0)
    if not there.any():
        return None
    return Grid(tuple(columns), run.steps[there], values[:, there], unit)


def _pictures(found: Sequence[tuple[Run, Grid | None]], subject: Subject) -> list[Picture]:
    grids = [(run, grid) for run, grid in found if grid]
    scales = {
        unit: _scale([grid.values for _, grid in grids if grid.unit == unit])
        for unit in {grid.unit for _, grid in grids}
    }
    return [_picture(run, grid, subject, scales[grid.unit], len(grids)) for run, grid in grids]


def _picture(
    run: Run, whole_grid: Grid, subject: Subject, scale: tuple[float, float], shared: int
) -> Picture:
    low, high = scale
    grid = _folded(whole_grid)
    layers = len(grid.names)
    places, values = thin_columns(grid.values, int(np.clip(CELLS // shared // layers, 60, 400)))
    height = int(np.clip(100 + 22 * layers, 240, 640))
    decades = list(range(int(np.ceil(low - 0.01)), int(np.floor(high + 0.01)) + 1))
    ticks = decades if len(decades) > 1 else [low, high]
    caption = subject.words.format(
        unit=grid.unit,
        layers=counted(len(whole_grid.names), "parameter" if grid.unit != RATIO else "layer"),
        range=_range(grid.values),
        grey=subject.grey if (grid.values == 0).any() else "",
    )
    return Picture(
        f"picture-{subject.name}-{run.number}",
        run.name,
        caption,
        (
            {
                "type": "heatmap",
                "x": numbers(grid.steps[places]),
                "y": list(grid.names),
                # Colours go by the logarithm, which the page takes; so what is shown is the value.
                "customdata": [numbers(row) for row in values],
                "zmin": low,
                "zmax": high,
                "colorscale": "Viridis",
                "hoverongaps": False,
                "hovertemplate": ("%{y}<br>%{customdata:.3~g} at step %{x:,d}<extra></extra>"),
                "colorbar": {
                    "title": {"text": grid.unit},
                    "tickvals": ticks,
                    "ticktext": [number_text(10**tick, 2) for tick in ticks],
                },
                "meta": {},
            },
        ),
        {
            "xaxis": {"title": {"text": STEP}},
            "yaxis": {"type": "category", "autorange": "reversed"},
        },
        _table(grid),
        height=height,
        run=run.number,
    )


def _scale(grids: Sequence[Floats]) -> tuple[float, float]:
    """The decimal logarithms that the colours begin and end at, for all grids alike.

    A rate that goes to zero at the end of a schedule must not take all colours for itself.
    """
    # A quantile of ten million values takes a second, and is that of ten thousand of them.
    some = [grid[:, evenly(grid.shape[1], SAMPLE)] for grid in grids]
    known = np.concatenate([grid[np.isfinite(grid) & (grid > 0)] for grid in some])
    highest = max(grid.max(where=np.isfinite(grid), initial=0.0) for grid in grids)
    if highest == 0 or not len(known):
        return -1.0, 0.0
    high = float(np.log10(highest))
    low = max(float(np.log10(np.quantile(known, 0.01))), high - DECADES)
    return (low, high) if high - low > 0.05 else (high - 0.5, high + 0.5)


def _range(values: Floats) -> str:
    known = values[np.isfinite(values) & (values > 0)]
    if not len(known):
        return "all 0"
    low, high = number_text(known.min(), 3), number_text(known.max(), 3)
    return f"always {low}" if low == high else f"from {low} to {high}"


def _folded(grid: Grid) -> Grid:
    """At most so many rows as a picture can show: neighbours with equal values become one."""
    if len(grid.names) <= MOST_ROWS:
        return grid
    same = (grid.values[1:] == grid.values[:-1]) | np.isnan(grid.values[1:])
    starts = np.concatenate([[0], np.flatnonzero(~same.all(axis=1)) + 1])
    if len(starts) > MOST_ROWS:
        # Too many that differ: then every few neighbours are shown by their first.
        starts = starts[evenly(len(starts), MOST_ROWS)]
    sizes = np.diff(np.append(starts, len(grid.names)))
    names = tuple(
        grid.names[start] + (f" … ({size} layers)" if size > 1 else "")
        for start, size in zip(starts, sizes, strict=True)
    )
    return Grid(names, grid.steps, grid.values[starts], grid.unit)


def _table(grid: Grid) -> Table:
    shown = evenly(len(grid.steps), TABLE_STEPS)
    rows = []
    for name, values in zip(grid.names, grid.values, strict=True):
        known = values[np.isfinite(values)]
        ends = (known.min(), known.max()) if len(known) else ()
        extremes = [number_text(end, 3) for end in ends] or [NOTHING, NOTHING]
        rows.append((name, *(number_text(values[place], 3) for place in shown), *extremes))
    headings = ("layer", *(f"step {whole_text(grid.steps[place])}" for place in shown))
    note = (
        f"{len(shown)} of {len(grid.steps):,} steps, and the extremes over all of them."
        if len(shown) < len(grid.steps)
        else ""
    )
    return Table((*headings, "lowest", "highest"), tuple(rows), note)
