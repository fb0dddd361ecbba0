"""The pieces that a value's HTML is made of. Every text is escaped here."""

from collections.abc import Iterable, Sequence
from html import escape
from typing import NamedTuple

import numpy as np

from layerwise._numbers import number_text, step_text
from layerwise._series import Floats, lone_places, places_of_extremes
from layerwise._text import name_text, printable

_WIDTH, _HEIGHT, _MARGIN = 320, 96, 8
_POINTS = 400
_BLUE, _ORANGE = "#0072B2", "#D55E00"  # as in ``plots``: readable on light and on dark ground
_CELL = "padding:0.15em 0.9em 0.15em 0"


class Row(NamedTuple):
    """A row of a table: its cells, and whether it is dim, as what is frozen is."""

    cells: Sequence[str]
    dim: bool = False


def table(
    headings: Sequence[str], rows: Iterable[Row], *, numbers: Iterable[int] = (), caption: str = ""
) -> str:
    """A table; the columns at the places ``numbers`` are aligned at the right."""
    right = frozenset(numbers)

    def cells(tag: str, texts: Sequence[str]) -> str:
        return "".join(
            f'<{tag} style="{_CELL};text-align:{"right" if place in right else "left"}">'
            f"{_text(text)}</{tag}>"
            for place, text in enumerate(texts)
        )

    looks = {False: "", True: ' style="opacity:0.6"'}
    body = "".join(f"<tr{looks[row.dim]}>{cells('td', row.cells)}</tr>" for row in rows)
    head = f"<thead><tr>{cells('th', headings)}</tr></thead>"
    below = "".join(map(small, caption.splitlines()))
    return f'<div><table style="margin:0">{head}<tbody>{body}</tbody></table>{below}</div>'


def plain(text: str) -> str:
    """Text as it would be printed."""
    return f"<pre>{escape(printable(text, keep=chr(10)))}</pre>"


def small(text: str) -> str:
    """A line in small print."""
    return f'<div style="font-size:0.9em;opacity:0.75">{_text(text)}</div>'


def titled(title: str, *parts: str) -> str:
    """Parts under a title."""
    return f"<div><div><b>{_text(title)}</b></div>{''.join(parts)}</div>"


def curve(x: Floats, y: Floats, *, label: str, log: str = "", mark: float | None = None) -> str:
    """A line as a small SVG, with the numbers at its ends.

    Args:
        x: Shape ``(n,)``, rising.
        y: Shape ``(n,)``; what is not finite leaves a gap.
        label: What it shows, for those who can't see it.
        log: The logarithmic axes: ``"x"``, ``"y"``, ``"xy"`` or none. They leave out what is not
            above 0.
        mark: Where on the x axis a vertical line stands.

    Returns:
        The picture; nothing if no point can be drawn.
    """
    on_x, on_y = (
        np.isfinite(values) & ((values > 0) | (axis not in log))
        for axis, values in (("x", x), ("y", y))
    )
    known = on_x & on_y
    if not known.any():
        return ""
    across = _Scale(x[on_x], "x" in log, _MARGIN, _WIDTH - _MARGIN)
    up = _Scale(y[known], "y" in log, _HEIGHT - _MARGIN, _MARGIN)
    drawn = np.where(known, y, np.nan)
    kept = places_of_extremes(drawn, _POINTS)
    lone = set(kept[lone_places(drawn[kept])])
    pieces, open_piece = [], False
    for place in kept:
        if known[place]:
            command = "L" if open_piece else "M"
            dot = "h0" if place in lone else ""  # a line of no length has round ends
            pieces.append(f"{command}{across.at(x[place]):.1f} {up.at(y[place]):.1f}{dot}")
        open_piece = bool(known[place])
    line = "" if mark is None else (
        f'<path d="M{across.at(mark):.1f} {_MARGIN}V{_HEIGHT - _MARGIN}" stroke="{_ORANGE}" '
        'stroke-width="1.5" stroke-dasharray="4 3"/>'
    )  # fmt: skip
    ends = f"{number_text(up.low, 3)} to {number_text(up.high, 3)}"
    numbered = number_text if "x" in log else step_text
    below = f"{numbered(across.low)} to {numbered(across.high)}"
    scaled = " (logarithmic)" if "y" in log else ""
    said = f"{label}: from {below}, values from {ends}{scaled}"
    return (
        f'<svg width="{_WIDTH}" height="{_HEIGHT}" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="{_text(said)}" style="max-width:100%;display:block" fill="none">'
        f'<path d="M{_MARGIN} {_HEIGHT - _MARGIN + 2}H{_WIDTH - _MARGIN}" stroke="currentColor" '
        f'opacity="0.35"/>{line}<path d="{"".join(pieces)}" stroke="{_BLUE}" stroke-width="2" '
        f'stroke-linejoin="round" stroke-linecap="round"/></svg>{small(said)}'
    )


class _Scale:
    """Where the values of an axis stand, from its lowest to its highest."""

    def __init__(self, values: Floats, log: bool, start: float, end: float) -> None:
        self.low, self.high = float(values.min()), float(values.max())
        self._log, self._start, self._end = log, start, end

    def at(self, value: float) -> float:
        low, high, at = self.low, self.high, min(max(value, self.low), self.high)
        if self._log:
            low, high, at = (float(np.log10(number)) for number in (low, high, at))
        # Halves, since the difference of two floats may be more than a float holds.
        span = high / 2 - low / 2
        share = (at / 2 - low / 2) / span if span else 0.5
        return self._start + share * (self._end - self._start)


def _text(text: str) -> str:
    return escape(name_text(text, 400))
