"""What the page is made of: pictures with the tables behind them, as plain values."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

PALETTE = 6
"""How many colours the style sheet names ``--series-0``, ``--series-1``, …"""

_DASHES = ("solid", "dash", "dot")


@dataclass(frozen=True)
class Table:
    """Text in columns.

    Attributes:
        headings: The titles of the columns.
        rows: One text for each column.
        note: What the table leaves out, if anything.
    """

    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


@dataclass(frozen=True)
class Line:
    """An entry of a picture's key: which series has which look."""

    label: str
    series: int

    @property
    def colour(self) -> str:
        """The name of its colour in the style sheet."""
        return f"--series-{self.series % PALETTE}"

    @property
    def dash(self) -> str:
        """Whether its line is solid: beyond the palette, dashes tell series apart."""
        return _DASHES[self.series // PALETTE % len(_DASHES)]


@dataclass(frozen=True)
class Picture:
    """One Plotly figure.

    In ``data`` and ``layout`` a colour may be ``"@name"``: the page puts the style sheet's
    ``--name`` there, of the light or the dark style. Text is plain; the page escapes it for
    Plotly, which reads tags in labels. A trace with ``{"meta": {"run": 2}}`` is shown and hidden
    with that run.

    Attributes:
        name: Unlike any other's on the page; an HTML id.
        title: The heading above it.
        caption: In words, what it shows: for everybody, and for those who can't see it.
        data: Plotly's traces.
        layout: Plotly's layout, as far as this picture decides it.
        table: The numbers.
        height: In pixels.
        run: The number of the one run that it is about, or None.
        key: What its lines are, if they are not the runs.
        notes: What is to be said of single runs, below it.
    """

    name: str
    title: str
    caption: str
    data: tuple[dict[str, Any], ...]
    layout: dict[str, Any]
    table: Table
    height: int = 340
    run: int | None = None
    key: tuple[Line, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Section:
    """A heading with pictures below it, and what to say where there are none."""

    name: str
    title: str
    text: str
    pictures: Sequence[Picture] = field(default=())


def line_style(series: int, width: float = 2.0) -> dict[str, Any]:
    """Plotly's ``line`` for a series: its colour and its dash."""
    line = Line("", series)
    return {"color": f"@{line.colour[2:]}", "dash": line.dash, "width": width, "simplify": False}
