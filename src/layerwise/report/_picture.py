"""What the page is made of: pictures and the tables behind them, as plain values."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

PALETTE = 6
"""How many colours the style sheet has for runs and for groups: ``--run-0``, ``--group-0``, …"""

Kind = Literal["run", "group"]

_DASHES = ("solid", "dash", "dot")


@dataclass(frozen=True)
class Table:
    """Text in columns.

    Attributes:
        headings: The titles of the columns.
        rows: Each has a text for every column.
        note: What the table leaves out, if anything.
        runs: The number of each row's run, if the rows are of several.
    """

    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""
    runs: tuple[int, ...] = ()


@dataclass(frozen=True)
class Line:
    """An entry of a picture's key: a label, the number of the look of its line, and of what.

    Runs and groups have different colours, so that no group looks like a run.
    """

    label: str
    series: int
    kind: Kind = "run"

    @property
    def colour(self) -> str:
        """The name of its colour in the style sheet."""
        return f"--{self.kind}-{self.series % PALETTE}"

    @property
    def dash(self) -> str:
        """Its dash: dashes tell series apart when the colours repeat."""
        return _DASHES[self.series // PALETTE % len(_DASHES)]


@dataclass(frozen=True)
class Picture:
    """One Plotly figure.

    In ``data`` and ``layout`` a colour may be ``"@name"``, for which the page puts the colour
    ``--name`` of the light or the dark style. Texts are plain: the page escapes them, since Plotly
    reads tags in labels. A trace with ``{"meta": {"run": 2}}`` is shown and hidden with that run.

    Attributes:
        name: Its HTML id.
        title: The heading above it.
        caption: What it shows, in words, for people who can't see it too.
        data: Plotly's traces.
        layout: The part of Plotly's layout that is special to this picture.
        table: The numbers behind it.
        height: In pixels.
        run: The number of the only run in it, or None.
        key: What its lines are, if they are not runs.
        notes: Remarks on single runs, shown below it.
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
    """A heading with pictures below it.

    Attributes:
        name: Its HTML id.
        title: Its heading.
        pictures: What is shown.
        more: A table of what has no picture.
    """

    name: str
    title: str
    pictures: Sequence[Picture]
    more: Table | None = None


def line_style(series: int, width: float = 2.0, kind: Kind = "run") -> dict[str, Any]:
    """The ``line`` of a Plotly trace: the colour and the dash of its series."""
    line = Line("", series, kind)
    return {"color": f"@{line.colour[2:]}", "dash": line.dash, "width": width, "simplify": False}
