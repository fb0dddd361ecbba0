"""The finder's curves: loss over the rate, with the suggestion and those of other rules."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from layerwise._numbers import NOTHING, counted, number_text
from layerwise._series import Floats, places_of_extremes
from layerwise.errors import ConfigError
from layerwise.finder import LRFinding
from layerwise.report._findings.rates import rates_finding_of
from layerwise.report._lines import Rows, numbers
from layerwise.report._picture import Picture, Table, line_style
from layerwise.report._run import Run

POINTS = 400
TABLE_ROWS = 40


def finder(runs: Sequence[Run]) -> list[Picture]:
    """A picture of all sweeps, and a table of all suggestions."""
    found = [(run, finding) for run in runs if (finding := finding_of(run)) is not None]
    found = [(run, finding) for run, finding in found if finding.rates]
    if not found:
        return []
    data: list[dict[str, Any]] = []
    for run, finding in found:
        data += _traces(run, finding)
    words = [_words(run, finding, len(runs) == 1) for run, finding in found]
    return [
        Picture(
            "picture-finder",
            "Sweep over the learning rate",
            f"{' '.join([*words[: len(words) == 1], 'Thin:'])} each batch's loss; thick: smoothed; "
            "diamond: the suggestion; circles: classical rules.",
            tuple(data),
            {
                "xaxis": {"title": {"text": "learning rate (logarithmic)"}, "type": "log"},
                "yaxis": {"title": {"text": "loss"}, "range": _view([f for _, f in found])},
            },
            _table(found),
            height=380,
            notes=tuple(words) if len(words) > 1 else (),
        )
    ]


def finding_of(run: Run) -> LRFinding | None:
    """What the run's search found; None if there was none, or it can't be read."""
    if not run.history.finding:
        return None
    try:
        return LRFinding.from_config(run.history.finding)
    except ConfigError:
        return None


def unreadable(runs: Sequence[Run]) -> list[str]:
    """A sentence for each run whose finding can't be read."""
    return [
        f"The finding of the run {run.name} can't be read: it was written by another version, or "
        "it is damaged."
        for run in runs
        if (run.history.finding and finding_of(run) is None)
        or (run.history.found_rates and rates_finding_of(run) is None)
    ]


def _traces(run: Run, finding: LRFinding) -> list[dict[str, Any]]:
    rates = np.array(finding.rates)
    losses, smoothed = np.array(finding.losses), np.array(finding.smoothed)
    kept = places_of_extremes(losses, POINTS)
    common = {"type": "scatter", "name": run.name, "meta": {"run": run.number}}
    lines: list[dict[str, Any]] = [
        common
        | {
            "mode": "lines",
            "x": numbers(rates[kept]),
            "y": numbers(values[kept]),
            "line": line_style(run.number, width),
        }
        for values, width in ((losses, 1.0), (smoothed, 2.4))
    ]
    lines[0] |= {"opacity": 0.3, "hoverinfo": "skip"}
    lines[1] |= {"hovertemplate": "loss %{y:.4~g} at rate %{x:.3~g}"}
    colour = lines[0]["line"]["color"]

    def markers(at: Sequence[float], look: dict[str, Any], hover: str) -> dict[str, Any]:
        heights = numbers(np.array([_height(rate, rates, smoothed) for rate in at]))
        points = {"mode": "markers", "x": at, "y": heights, "marker": look}
        return common | points | {"hovertemplate": hover}

    others = {rule: rate for rule, rate in finding.candidates.items() if rate}
    if others:
        edge = {"color": colour, "width": 1.6}
        look = {"symbol": "circle", "size": 8, "color": "@surface", "line": edge}
        circles = markers(list(others.values()), look, "%{text}: rate %{x:.3~g}")
        lines.append(circles | {"text": list(others)})
    if finding.suggestion:
        edge = {"color": "@surface", "width": 2}
        look = {"symbol": "diamond", "size": 14, "color": colour, "line": edge}
        lines.append(markers([finding.suggestion], look, "suggestion: rate %{x:.3~g}"))
    return lines


def _height(rate: float, rates: Floats, smoothed: Floats) -> float:
    finite = np.isfinite(smoothed)
    return float(np.interp(np.log(rate), np.log(rates[finite]), smoothed[finite]))


def _view(findings: Sequence[LRFinding]) -> list[float]:
    """From a little below the lowest loss to a little above the first, without the blow-up."""
    curves = [np.array(finding.smoothed) for finding in findings]
    curves = [finite for curve in curves if len(finite := curve[np.isfinite(curve)])]
    if not curves:
        return [0.0, 1.0]
    low = min(float(curve.min()) for curve in curves)
    start = max(float(curve[: max(len(curve) // 10, 1)].max()) for curve in curves)
    room = max(start - low, 1e-3 * abs(start), 1e-12)
    return [float(f"{low - 0.08 * room:.5g}"), float(f"{start + 0.4 * room:.5g}")]


def _words(run: Run, finding: LRFinding, alone: bool) -> str:
    name = "" if alone else f"{run.name}: "
    if finding.suggestion is None:
        return f"{name}no rate is suggested. {finding.reason}"
    return f"{name}{number_text(finding.suggestion, 3)} is suggested. {finding.reason}"


def _table(found: Sequence[tuple[Run, LRFinding]]) -> Table:
    table = Rows()
    for run, finding in found:
        rows = [_row(run, f"suggestion ({finding.method})", finding.suggestion)]
        rows += [_row(run, rule, rate) for rule, rate in finding.candidates.items()]
        rows += [
            _row(run, f"suggestion for {group}", rate)
            for group, rate in finding.group_rates.items()
        ]
        rows += [
            _row(run, f"probe of {counted(probe.updates, 'update')}", probe.rate, probe.score)
            for probe in finding.probes
        ]
        kept = places_of_extremes(np.array(finding.losses), max(TABLE_ROWS // len(found), 12))
        rows += [
            _row(run, "sweep", finding.rates[at], finding.losses[at], finding.smoothed[at])
            for at in kept
        ]
        table.add(run, rows)
    return table.table(("run", "what", "learning rate", "loss", "smoothed loss"))


def _row(run: Run, what: str, rate: float | None, *losses: float) -> tuple[str, ...]:
    cells = [number_text(loss) for loss in losses] + [NOTHING] * (2 - len(losses))
    return (run.name, what, "none" if rate is None else number_text(rate, 3), *cells)
