"""Learning rates as lines: the base rates of the runs, and the rates of few groups."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from layerwise._numbers import NOTHING, counted, number_text, whole_text
from layerwise._series import Floats, has_value
from layerwise.report._lines import (
    Rows,
    Trace,
    axes,
    line,
    listed,
    run_line,
    said_of,
    table_note,
    table_places,
    table_rows,
)
from layerwise.report._picture import Line, Picture, Table
from layerwise.report._run import Run, as_floats

MOST_LINES = 8
"""How many groups are drawn as lines; more become a heat map."""

FAR_APART = 20.0
"""An axis is logarithmic if the highest rates of two lines differ by at least this factor."""


def base_rates(runs: Sequence[Run]) -> list[Picture]:
    """The base rates of the runs, compared; if none ever changes, the facts have their numbers."""
    recorded = [run for run in runs if np.isfinite(run.by_batch("rate")[1]).any()]
    if all(constant_rate(run) is not None for run in recorded):
        return []
    data: list[Trace] = []
    rows = Rows()
    words = []
    for run in recorded:
        steps, rates = run.by_batch("rate")
        data.append(run_line(run, steps, rates, shared=len(recorded)))
        rows.add(run, table_rows(run, steps, len(recorded), rates))
        finite = rates[np.isfinite(rates)]
        low, high = number_text(finite.min(), 3), number_text(finite.max(), 3)
        span = f"always {low}" if low == high else f"{low} to {high}"
        words.append(said_of(run, runs, span))
    seen = sum(len(run.by_batch("rate")[1]) for run in recorded)
    return [
        Picture(
            "picture-rate",
            "Base learning rate",
            f"The rate that schedules and multipliers are applied to. {listed(words)}",
            tuple(data),
            _axes([run.by_batch("rate")[1] for run in recorded]),
            rows.table(("run", "step", "base rate"), table_note(seen, len(rows))),
            height=300,
        )
    ]


def constant_rate(run: Run) -> float | None:
    """The base rate of a run in which it never changes; None if it does, or wasn't recorded."""
    rates = run.by_batch("rate")[1]
    finite = rates[np.isfinite(rates)]
    return float(finite[0]) if len(finite) and (finite == finite[0]).all() else None


def group_rates(runs: Sequence[Run]) -> list[Picture]:
    """The rates of each run's groups, if there are few enough for lines."""
    pictures = []
    for run in runs:
        groups = run.history.rates
        if not 0 < len(groups) <= MOST_LINES:
            continue
        lines = _equal_together(groups)
        base = as_floats(run.batch.get("rate", np.empty(0)))
        if all(np.array_equal(rates, base, equal_nan=True) for rates in lines.values()):
            continue
        known = np.flatnonzero(np.any([has_value(rates) for rates in groups.values()], axis=0))
        kept = known[table_places(_widest(groups)[known])]
        rows = [
            (whole_text(run.steps[place]), *(_cell(rates[place]) for rates in groups.values()))
            for place in kept
        ]
        pictures.append(
            Picture(
                f"picture-groups-{run.number}",
                run.name,
                f"The rate that {_each(len(groups))} was trained with.",
                tuple(
                    line(
                        name,
                        place,
                        run.steps[has_value(rates)],
                        rates[has_value(rates)],
                        shared=len(lines),
                        kind="group",
                    )
                    for place, (name, rates) in enumerate(lines.items())
                ),
                _axes(list(lines.values())),
                Table(("step", *groups), tuple(rows), table_note(len(known), len(kept))),
                height=320,
                run=run.number,
                key=tuple(Line(name, place, "group") for place, name in enumerate(lines)),
            )
        )
    return pictures


def _widest(groups: Mapping[str, Floats]) -> Floats:
    """The rates of the group that change most."""

    def span(rates: Floats) -> float:
        known = rates[np.isfinite(rates)]
        return float(np.ptp(known)) if len(known) else 0.0

    return max(groups.values(), key=span)


def _cell(rate: float) -> str:
    return number_text(rate) if has_value(rate) else NOTHING


def _each(groups: int) -> str:
    return "the group" if groups == 1 else f"each of {counted(groups, 'group')}"


def _equal_together(groups: Mapping[str, Floats]) -> dict[str, Floats]:
    """Groups with equal rates share a line, since one line would hide the others."""
    members: dict[bytes, list[str]] = {}
    for name, rates in groups.items():
        members.setdefault(rates.tobytes(), []).append(name)
    return {", ".join(names): groups[names[0]] for names in members.values()}


def _axes(lines: Sequence[Floats]) -> dict[str, Any]:
    """The axes, logarithmic down to a hundredth if the highest rates of the lines are far apart.

    One rate that falls to almost 0 is no reason: it is easier to read on a linear axis.
    """
    finite = [rates[np.isfinite(rates)] for rates in lines]
    highest = np.array([peak for rates in finite if (peak := rates.max(initial=0.0)) > 0])
    if len(highest) < 2 or highest.max() < FAR_APART * highest.min():
        layout = axes("learning rate")
        # From 0, since Plotly shows a line that never changes between 1 below and 1 above it.
        layout["yaxis"]["rangemode"] = "tozero"
        return layout
    ends = np.log10(highest.min()) - 2.0, np.log10(highest.max()) + 0.1
    layout = axes("learning rate", logarithmic=True)
    layout["yaxis"]["range"] = [float(f"{end:.4f}") for end in ends]
    return layout
