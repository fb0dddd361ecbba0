"""What searches for a rate for each band found: a bar for each band, and why."""

import math
from collections.abc import Sequence
from typing import Any

from layerwise._rates_shown import (
    HEADINGS,
    answer_text,
    bands_in_words,
    bars_from,
    rate_text,
    summary,
)
from layerwise._text import name_text
from layerwise.errors import ConfigError
from layerwise.finder import Band, RatesFinding
from layerwise.report._picture import Picture, Table, line_style
from layerwise.report._run import Run

_NAME = 22  # characters of a band's name beside its bar
_WORDS = "the multiplier of each band of layers, from input to head, and beside its name the rate"


def rates_found(runs: Sequence[Run]) -> list[Picture]:
    """A picture for each run whose rates were searched, with a table of its bands."""
    found = [(run, finding) for run in runs if (finding := rates_finding_of(run)) is not None]
    return [_picture(run, finding) for run, finding in found if finding.bands]


def rates_finding_of(run: Run) -> RatesFinding | None:
    """What the run's search found; None if there was none, or it can't be read."""
    if not run.history.found_rates:
        return None
    try:
        return RatesFinding.from_config(run.history.found_rates)
    except ConfigError:
        return None


def _answered(finding: RatesFinding) -> tuple[Band, ...]:
    """The bands, if there is an answer to draw of them."""
    return finding.bands if finding.learning_rate is not None else ()


def _picture(run: Run, finding: RatesFinding) -> Picture:
    thin = (
        "; the thin line under it is the range that is as good"
        if any(band.low < band.high for band in _answered(finding))
        else ""
    )
    return Picture(
        f"picture-found-{run.number}",
        run.name,
        f"{answer_text(finding)}: {_WORDS}{thin}.",
        (_bars(run, finding), _ranges(run, finding)),
        _layout(finding),
        Table(HEADINGS, tuple(cells.texts for cells in bands_in_words(finding))),
        height=110 + 34 * len(finding.bands),
        run=run.number,
        notes=tuple(summary(finding)),
    )


def _bars(run: Run, finding: RatesFinding) -> dict[str, Any]:
    bands = _answered(finding)
    return {
        "type": "bar",
        "orientation": "h",
        "name": run.name,
        "meta": {"run": run.number},
        "x": [band.multiplier for band in bands],
        "y": list(range(len(bands))),
        "width": 0.6,
        "marker": {"color": line_style(run.number)["color"]},
        "text": [f"{name_text(band.name, 80)}: rate {rate_text(finding, band)}" for band in bands],
        "textposition": "none",
        "hovertemplate": "%{text}, multiplier %{x:.3~g}<extra></extra>",
    }


def _ranges(run: Run, finding: RatesFinding) -> dict[str, Any]:
    """A line under each bar; on a logarithmic axis, which has no 0, it goes to the axis' end."""
    start = bars_from(finding)
    x: list[float | None] = []
    y: list[float | None] = []
    for place, band in enumerate(_answered(finding)):
        if band.low < band.high:
            x += [max(band.low, start), band.high, None]
            y += [place + 0.4, place + 0.4, None]
    return {
        "type": "scatter",
        "mode": "lines",
        "meta": {"run": run.number},
        "x": x,
        "y": y,
        "line": {"color": "@ink", "width": 1.4},
        "hoverinfo": "skip",
    }


def _layout(finding: RatesFinding) -> dict[str, Any]:
    start = bars_from(finding)
    most = max(max(band.high, band.multiplier) for band in finding.bands) or 1.0
    ends = [math.log10(start), math.log10(1.25 * most)] if start else [0.0, 1.06 * most]
    return {
        "xaxis": {
            "title": {"text": "multiplier (logarithmic)" if start else "multiplier"},
            "type": "log" if start else "linear",
            "range": ends,
            "tickformat": "~g",
            **({"dtick": 1} if start else {}),
        },
        "yaxis": {
            "title": {"text": "band, rate"},
            "type": "linear",
            "range": [len(finding.bands) - 0.5, -0.5],
            "showgrid": False,
            "tickvals": list(range(len(finding.bands))),
            "ticktext": [
                f"{name_text(band.name, _NAME)}  {rate_text(finding, band)}"
                for band in finding.bands
            ],
        },
    }
