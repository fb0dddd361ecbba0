"""The page: sections, the template, and Plotly's script packed into it."""

import base64
import gzip
import json
import re
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from layerwise._numbers import counted
from layerwise.errors import RecorderError
from layerwise.report import _finder, _heat, _measured, _rates
from layerwise.report._facts import facts, headings, remarks
from layerwise.report._picture import Line, Picture, Section
from layerwise.report._run import Run

HERE = Path(__file__).parent
MISSING = 'A report needs {}: pip install "layerwise[report]"'


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
    environment.filters["unbroken"] = unbroken
    shown = sections(runs)
    pictures = [picture for section in shown for picture in section.pictures]
    return environment.get_template("page.html").render(
        title=_title(runs),
        runs=[(run, Line(run.name, run.number)) for run in runs],
        headings=headings(runs),
        facts=facts(runs),
        remarks=[*remarks(runs), *_finder.trouble(runs)],
        averaged=any(len(run.steps) > 0 for run in runs),
        sections=shown,
        counted=counted,
        swatch=lambda line: Markup(swatch(line)),
        version=version("layerwise"),
        style=Markup((HERE / "page.css").read_text(encoding="utf-8")),
        script=Markup((HERE / "page.js").read_text(encoding="utf-8")),
        figures=Markup(script_data([_figure(picture) for picture in pictures])),
        plotly=packed_plotly() if pictures else "",
    )


def sections(runs: Sequence[Run]) -> list[Section]:
    """The pictures by subject, without the subjects that nothing was recorded of."""
    made = [
        Section("loss", "Loss", "", _measured.loss(runs)),
        Section("metrics", "Metrics", "", _measured.metrics(runs)),
        Section("finder", "Learning-rate finder", "", _finder.finder(runs)),
        Section("base-rate", "Base rate", "", _rates.base_rates(runs)),
        Section("groups", "Rates of the groups", "", _rates.group_rates(runs)),
        Section("layers", "Rates of the layers", "", _heat.rates(runs)),
        Section("ratios", "Update-to-weight ratios", "", _heat.ratios(runs)),
    ]
    return [section for section in made if section.pictures]


def packed_plotly() -> str:
    """Plotly's script, compressed, as text that HTML has no meaning for.

    The script alone is 4.8 MB; packed, it is 2.0. Browsers since 2023 unpack it by themselves.

    Raises:
        RecorderError: Plotly is not installed.
    """
    try:
        from plotly.offline import get_plotlyjs
    except ModuleNotFoundError as error:
        raise RecorderError(MISSING.format("plotly")) from error
    return base64.b64encode(gzip.compress(get_plotlyjs().encode(), mtime=0)).decode()


def unbroken(text: str) -> str:
    """The same text, with no line to end inside of ``1e-3``: a word joiner is beside the hyphen."""
    return re.sub(r"(?<=\de)-(?=\d)", "\u2060-\u2060", text)


def swatch(line: Line) -> str:
    """A short piece of a series' line, as an inline picture without a name."""
    dashes = {"solid": "", "dash": ' stroke-dasharray="6 3"', "dot": ' stroke-dasharray="2 2"'}
    return (
        '<svg class="swatch" viewBox="0 0 24 10" aria-hidden="true">'
        f'<line x2="24" y1="5" y2="5" stroke="var({line.colour})"{dashes[line.dash]}/></svg>'
    )


def script_data(data: Any) -> str:
    """JSON that can stand in a script element, whatever names are in it."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _figure(picture: Picture) -> dict[str, Any]:
    return {
        "id": picture.name,
        "data": picture.data,
        "layout": {"height": picture.height, **picture.layout},
    }


def _title(runs: Sequence[Run]) -> str:
    return f"Training run {runs[0].name}" if len(runs) == 1 else f"{len(runs)} training runs"
