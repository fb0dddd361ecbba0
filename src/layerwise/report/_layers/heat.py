"""Heat maps of layers over steps: their rates, and update-to-weight ratios."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from layerwise._numbers import NOTHING, counted, number_text, whole_text
from layerwise._series import Floats, evenly, thin_columns
from layerwise.report._layers.grid import RATIO, Grid, recorded
from layerwise.report._layers.rates import grid_of_rates
from layerwise.report._lines import STEP, numbers
from layerwise.report._picture import Picture, Table
from layerwise.report._run import Run

CELLS = 120_000
"""How many cells all heat maps of a section have together."""

MOST_ROWS = 400
PLANNED = "as planned before the training, which recorded none"
TABLE_STEPS = 6
SAMPLE = 500
DECADES = 6
"""How many powers of ten the colours reach down; anything lower has the lowest colour."""


HIGHEST = 308.25
"""The highest power of ten that a float holds."""


@dataclass(frozen=True)
class Subject:
    """What the heat maps of one section show.

    Attributes:
        name: The part of their ids that says so.
        words: The caption, with the places ``{unit}``, ``{layers}``, ``{course}``, ``{range}`` and
            ``{grey}``.
        grey: What the caption says about grey cells, if there are any.
    """

    name: str
    words: str
    grey: str


def rates(runs: Sequence[Run]) -> list[Picture]:
    """The rate of every layer over time, as recorded; as planned where nothing was recorded."""
    grids = [(run, grid_of_rates(run)) for run in runs]
    words = "The {unit} of {layers} {course}, {range}. Lighter is higher{grey}."
    return _pictures(grids, Subject("rates", words, "; grey is 0"))


def ratios(runs: Sequence[Run]) -> list[Picture]:
    """The size of each layer's updates relative to its weights."""
    grids = [(run, recorded(run.steps, run.history.ratios, RATIO)) for run in runs]
    words = (
        "The size of each update of {layers} relative to the weights, {range}. Lighter is "
        "higher; around 1e-3 is usual{grey}."
    )
    return _pictures(grids, Subject("ratios", words, "; grey is 0, no update"))


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
    grid = _folded(_merged(whole_grid))
    caption = subject.words.format(
        unit=grid.unit,
        layers=counted(len(whole_grid.names), "parameter" if grid.unit != RATIO else "layer"),
        course=PLANNED if grid.planned else "over the training",
        range=_range(grid.values),
        grey=subject.grey if (grid.values == 0).any() else "",
    )
    return Picture(
        f"picture-{subject.name}-{run.number}",
        run.name,
        caption,
        (_heat(grid, scale, CELLS // shared),),
        {
            "xaxis": {"title": {"text": STEP}},
            "yaxis": {"type": "linear", "autorange": "reversed"},
        },
        _table(grid),
        height=int(np.clip(100 + 22 * len(grid.names), 240, 640)),
        run=run.number,
    )


def _heat(grid: Grid, scale: tuple[float, float], cells: int) -> dict[str, Any]:
    """The heat map of a grid as Plotly's data, of about as many cells as are wanted."""
    low, high = scale
    places, values = thin_columns(grid.values, int(np.clip(cells // len(grid.names), 60, 400)))
    decades = list(range(int(np.ceil(low - 0.01)), int(np.floor(high + 0.01)) + 1))
    ticks = decades if len(decades) > 1 else [low, high]
    return {
        "type": "heatmap",
        "x": numbers(grid.steps[places]),
        "y": list(grid.names),
        # The page takes the logarithm for the colours, and shows the value.
        "customdata": [numbers(row) for row in values],
        "zmin": low,
        "zmax": high,
        "colorscale": "Viridis",
        "hoverongaps": False,
        # The page puts the names there, since an axis of names fails at "constructor".
        "hovertemplate": "%{text}<br>%{customdata:.3~g} at step %{x:,d}<extra></extra>",
        "colorbar": {
            "title": {"text": grid.unit},
            "tickvals": ticks,
            "ticktext": [number_text(10.0 ** min(tick, HIGHEST), 2) for tick in ticks],
        },
        "meta": {},
    }


def _scale(grids: Sequence[Floats]) -> tuple[float, float]:
    """The powers of ten at which the colours begin and end, for all grids alike.

    A rate that falls to almost 0 at the end of a schedule must not use up the colours.
    """
    # A quantile of ten million values takes a second; some of them give nearly the same.
    some = [grid[:, evenly(grid.shape[1], SAMPLE)] for grid in grids]
    positive = np.concatenate([grid[np.isfinite(grid) & (grid > 0)] for grid in some])
    highest = max(grid.max(where=np.isfinite(grid), initial=0.0) for grid in grids)
    if highest == 0 or not len(positive):
        return -1.0, 0.0
    high = float(np.log10(highest))
    low = max(float(np.log10(np.quantile(positive, 0.01))), high - DECADES)
    return (low, high) if high - low > 0.05 else (high - 0.5, min(high + 0.5, HIGHEST))


def _range(values: Floats) -> str:
    positive = values[np.isfinite(values) & (values > 0)]
    if not len(positive):
        return "all 0"
    low, high = number_text(positive.min(), 3), number_text(positive.max(), 3)
    return f"always {low}" if low == high else f"from {low} to {high}"


def _merged(grid: Grid) -> Grid:
    """The grid with one row for each layer whose parameters have equal values: kernel and bias.

    Layers are read from the parameters' names. The ratios of layers stay as they are.
    """
    if grid.unit == RATIO:
        return grid
    separator = "/" if any("/" in name for name in grid.names) else "."
    layers: dict[str, list[int]] = {}
    for place, name in enumerate(grid.names):
        layers.setdefault(name.rpartition(separator)[0] or name, []).append(place)
    names: list[str] = []
    kept: list[int] = []
    for layer, places in layers.items():
        rows = grid.values[places]
        equal = len(places) > 1 and np.array_equal(rows, np.broadcast_to(rows[0], rows.shape), True)
        if equal and layer not in grid.names:
            names.append(layer)
            kept.append(places[0])
        else:
            names += [grid.names[place] for place in places]
            kept += places
    return replace(grid, names=tuple(names), values=grid.values[kept])


def _folded(grid: Grid) -> Grid:
    """The grid with at most ``MOST_ROWS`` rows: neighbours with equal values become one row."""
    if len(grid.names) <= MOST_ROWS:
        return grid
    same = (grid.values[1:] == grid.values[:-1]) | np.isnan(grid.values[1:])
    starts = np.concatenate([[0], np.flatnonzero(~same.all(axis=1)) + 1])
    if len(starts) > MOST_ROWS:
        # Still too many: then of every few neighbours the first is shown.
        starts = starts[evenly(len(starts), MOST_ROWS)]
    sizes = np.diff(np.append(starts, len(grid.names)))
    names = tuple(
        grid.names[start] + (f" … ({size} layers)" if size > 1 else "")
        for start, size in zip(starts, sizes, strict=True)
    )
    return replace(grid, names=names, values=grid.values[starts])


def _table(grid: Grid) -> Table:
    shown = evenly(len(grid.steps), TABLE_STEPS)
    rows = []
    for name, values in zip(grid.names, grid.values, strict=True):
        finite = values[np.isfinite(values)]
        ends = (finite.min(), finite.max()) if len(finite) else ()
        extremes = [number_text(end, 3) for end in ends] or [NOTHING, NOTHING]
        rows.append((name, *(number_text(values[place], 3) for place in shown), *extremes))
    headings = ("layer", *(f"step {whole_text(grid.steps[place])}" for place in shown))
    note = (
        f"{len(shown)} of {len(grid.steps):,} steps, and the extremes over all of them."
        if len(shown) < len(grid.steps)
        else ""
    )
    return Table((*headings, "lowest", "highest"), tuple(rows), note)
