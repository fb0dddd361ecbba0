"""The page: its sections, the template, and Plotly's script packed into it."""

import base64
import gzip
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from layerwise._numbers import counted
from layerwise._text import shorten
from layerwise.errors import RecorderError
from layerwise.report import _measured, _rates
from layerwise.report._about import about, clocks, comparison, title_of
from layerwise.report._facts import MOST_METRICS, facts, headings, metrics_of, remarks
from layerwise.report._findings import finder, rates
from layerwise.report._layers import heat
from layerwise.report._picture import Line, Picture, Section
from layerwise.report._run import Run

HERE = Path(__file__).parent
MISSING = 'A report needs {}: pip install "layerwise[report]".'


def page(runs: Sequence[Run]) -> str:
    """The whole page as HTML.

    Raises:
        RecorderError: Plotly or Jinja2 is not installed.
    """
    try:
        import jinja2
    except ModuleNotFoundError as error:
        raise RecorderError(MISSING.format(error.name)) from error
    from markupsafe import Markup

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"unbroken": unbroken, "shortened": shorten}
    # Numbers beyond what a float holds are left out of pictures, which needs no warning.
    with np.errstate(all="ignore"):
        shown, failures = sections(runs)
        table, found = facts(runs), remarks(runs)
        abouts, best, axes = about(runs), comparison(runs), clocks(runs)
    pictures = [picture for section in shown for picture in section.pictures]
    return environment.get_template("page.html").render(
        title=title_of(runs),
        runs=[(run, Line(run.name, run.number)) for run in runs],
        about=abouts,
        comparison=best,
        clocks=script_data(axes),
        headings=headings(runs),
        facts=table,
        remarks=[*found, *finder.unreadable(runs), *failures],
        averaged=any(len(run.steps) > 0 for run in runs),
        other_metrics=max(0, len(metrics_of(runs)) - MOST_METRICS),
        sections=shown,
        counted=counted,
        swatch=lambda line: Markup(swatch(line)),
        version=version("layerwise"),
        style=Markup((HERE / "page.css").read_text(encoding="utf-8")),
        script=Markup((HERE / "page.js").read_text(encoding="utf-8")),
        figures=Markup(script_data([_figure(picture) for picture in pictures])),
        plotly=packed_plotly() if pictures else "",
    )


def sections(runs: Sequence[Run]) -> tuple[list[Section], list[str]]:
    """The pictures by subject, and a sentence for each subject that can't be drawn.

    A subject without pictures is left out.
    """
    made = []
    failures = []
    for name, title, draw in _SUBJECTS:
        try:
            pictures = draw(runs)
            more = _measured.other_metrics(runs) if name == "metrics" else None
        except Exception as error:  # whatever was recorded, the other subjects are shown
            failures.append(f"{title} can't be drawn: {type(error).__name__}: {str(error)[:200]}")
            continue
        if pictures:
            made.append(Section(name, title, pictures, more))
    return made, failures


_SUBJECTS: tuple[tuple[str, str, Callable[[Sequence[Run]], list[Picture]]], ...] = (
    ("layers", "Rates of the layers", heat.rates),
    ("loss", "Loss", _measured.loss),
    ("metrics", "Metrics", _measured.metrics),
    ("finder", "Learning-rate finder", finder.finder),
    ("rates-found", "A rate for every band", rates.rates_found),
    ("base-rate", "Base rate", _rates.base_rates),
    ("groups", "Rates of the groups", _rates.group_rates),
    ("ratios", "Update-to-weight ratios", heat.ratios),
)


def packed_plotly() -> str:
    """Plotly's script, compressed, as text that needs no escaping in HTML.

    It shrinks from 4.8 to 2.0 MB. Browsers since 2023 can unpack it.

    Raises:
        RecorderError: Plotly is not installed.
    """
    try:
        from plotly.offline import get_plotlyjs
    except ModuleNotFoundError as error:
        raise RecorderError(MISSING.format("plotly")) from error
    return base64.b64encode(gzip.compress(get_plotlyjs().encode(), mtime=0)).decode()


def unbroken(text: str) -> str:
    """The text, with word joiners around the hyphen of ``1e-3``, so that no line breaks there."""
    return re.sub(r"(?<=\de)-(?=\d)", "\u2060-\u2060", text)


def swatch(line: Line) -> str:
    """A short piece of a line as inline SVG, hidden from screen readers."""
    dashes = {"solid": "", "dash": ' stroke-dasharray="6 3"', "dot": ' stroke-dasharray="2 2"'}
    return (
        '<svg class="swatch" viewBox="0 0 24 10" aria-hidden="true">'
        f'<line x2="24" y1="5" y2="5" stroke="var({line.colour})"{dashes[line.dash]}/></svg>'
    )


def script_data(data: object) -> str:
    """JSON that is safe in a script element, whatever names are in it."""
    text = json.dumps(_finite(data), separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _finite(data: object) -> object:
    """The data with None for every number that is not finite, which JSON does not have."""
    if isinstance(data, float):
        return data if math.isfinite(data) else None
    if isinstance(data, Mapping):
        return {key: _finite(value) for key, value in data.items()}
    return [_finite(value) for value in data] if isinstance(data, list | tuple) else data


def _figure(picture: Picture) -> dict[str, Any]:
    return {
        "id": picture.name,
        "data": picture.data,
        "layout": {"height": picture.height, **picture.layout},
        "run": picture.run,
    }
