"""What pictures with lines over the step share: traces, axes, table rows, captions."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from layerwise._numbers import counted, number_text, whole_text
from layerwise._series import Floats, lone_places, places_of_extremes
from layerwise._text import shorten
from layerwise.report._picture import Kind, Table, line_style
from layerwise.report._run import Run

STEP = "step (updates applied)"
EPOCH = "epoch"

POINTS = 1_600
"""How many points all lines of one kind in a picture have together."""

FEWEST_POINTS = 240
TABLE_ROWS = 60
FEWEST_ROWS = 16

LONE = 6
"""The size of a point that has no neighbour, in pixels."""

MOST = 1e300
"""Plotly draws nothing that is much higher. Such a value is drawn here; the table has it."""

Trace = dict[str, Any]


def line(
    name: str,
    series: int,
    steps: Floats,
    values: Floats,
    *,
    shared: int = 1,
    width: float = 2.0,
    kind: Kind = "run",
) -> Trace:
    """A Plotly trace of a curve, thinned so that its extremes stay.

    Args:
        name: What the label says when the line is pointed at.
        series: The number of its colour and dash.
        steps: Shape ``(n,)``.
        values: Shape ``(n,)``; a value that is not finite leaves a gap.
        shared: How many lines share the picture.
        width: In pixels.
        kind: What the line stands for.
    """
    kept = places_of_extremes(values, max(POINTS // shared, FEWEST_POINTS))
    drawn = np.where(np.isfinite(values), np.clip(values, -MOST, MOST), values)
    trace = {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": numbers(steps[kept]),
        "y": numbers(drawn[kept]),
        "line": line_style(series, width, kind),
        "hovertemplate": "%{y:.4~g} at step %{x:,d}",
        "meta": {},
    }
    lone = lone_places(values[kept])
    if lone:  # no line shows them
        sizes = np.zeros(len(kept), int)
        sizes[lone] = LONE
        trace |= {"mode": "lines+markers", "marker": {"size": sizes.tolist()}}
    return trace


def run_line(run: Run, steps: Floats, values: Floats, *, shared: int, width: float = 2.0) -> Trace:
    """A line that is shown and hidden with its run."""
    trace = line(run.name, run.number, steps, values, shared=shared, width=width)
    return trace | {"meta": {"run": run.number}}


def numbers(values: Floats) -> list[float | int | None]:
    """Numbers for a script: with five digits, whole ones in full, None if not finite.

    Examples:
        >>> numbers(np.array([100000.0, 0.1234567, np.nan]))
        [100000, 0.12346, None]
    """
    return [_number(value) for value in values.tolist()]


class Rows:
    """The rows of a table of several runs, as they are gathered."""

    def __init__(self) -> None:
        self._rows: list[tuple[str, ...]] = []
        self._runs: list[int] = []

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, run: Run, rows: Iterable[tuple[str, ...]]) -> None:
        """Add rows of one run."""
        self._rows += rows
        self._runs += [run.number] * (len(self._rows) - len(self._runs))

    def table(self, headings: tuple[str, ...], note: str = "") -> Table:
        """The table of all of them."""
        return Table(headings, tuple(self._rows), note, tuple(self._runs))


def axes(title: str, logarithmic: bool = False, along: str = STEP) -> dict[str, Any]:
    """The axes of a layout for something drawn over the step, or over the epoch."""
    y: dict[str, Any] = {"title": {"text": shorten(title, 40)}}
    return {
        # Plotly would write half an epoch as 500m.
        "xaxis": {"title": {"text": along}} | ({"tickformat": "~g"} if along == EPOCH else {}),
        "yaxis": y | ({"type": "log"} if logarithmic else {}),
    }


def table_rows(run: Run, steps: Floats, shared: int, *columns: Floats) -> list[tuple[str, ...]]:
    """The rows of one run in a table of several: its name, the step, and the numbers."""
    return [
        (run.name, whole_text(steps[place]), *(number_text(values[place]) for values in columns))
        for place in table_places(columns[0], shared)
    ]


def table_places(values: Floats, shared: int = 1) -> list[int]:
    """The rows that are worth reading: above all the extremes."""
    kept: list[int] = places_of_extremes(values, max(TABLE_ROWS // shared, FEWEST_ROWS)).tolist()
    return kept


def table_note(seen: int, shown: int) -> str:
    """A note on what a table leaves out."""
    if shown >= seen:
        return ""
    return f"{shown:,} of {seen:,} rows: of every stretch the lowest and the highest."


def said_of(run: Run, runs: Sequence[Run], words: str) -> str:
    """Words about one run, with its name if there are other runs."""
    return words if len(runs) == 1 else f"{run.name}: {words}"


def listed(words: Sequence[str], most: int = 6) -> str:
    """A sentence of the words about each run, for the first ``most`` runs."""
    rest = len(words) - most
    text = "; ".join(words[:most]) + (f"; and {counted(rest, 'more run')}" if rest > 0 else "")
    return f"{text[:1].upper()}{text[1:]}." if len(words) == 1 else f"{text}."


def _number(value: float) -> float | int | None:
    if not np.isfinite(value):
        return None
    if value.is_integer() and abs(value) < 2**53:
        return int(value)
    rounded = float(f"{value:.5g}")
    return rounded if np.isfinite(rounded) else value
