"""How every picture looks: colours that everybody can tell apart, on light and dark ground."""

from collections.abc import Callable, Sequence
from io import BytesIO
from os import PathLike
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib import colors
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import ScaledTranslation
from matplotlib.typing import ColorType

from layerwise._files import written_whole
from layerwise._series import evenly
from layerwise._text import MOST_CHARACTERS, name_text, printable, shorten, shown
from layerwise.errors import LayerwiseError

if TYPE_CHECKING:
    from matplotlib.artist import Artist

# The four of Okabe and Ito's eight colours with a contrast (WCAG 2.2) of at least 3 against both
# #ffffff and #111111. The other four are too light for white or too dark for near-black.
# Source: M. Okabe, K. Ito: Color Universal Design, https://jfly.uni-koeln.de/color/, 2008.
BLUE, VERMILLION, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
PALETTE = (BLUE, VERMILLION, GREEN, PURPLE)
GREY = "#7A7A7A"
"""Halfway between white and near-black, for the grid and for minor things."""

PLAIN: dict[str, Any] = {"parse_math": False}
"""What a text gets that may have names in it: ``$`` is a dollar there, and begins no formula."""

MAP = "viridis"
"""Its brightness is even, for the colour-blind too.

Source: S. van der Walt and N. Smith, Matplotlib 2.0.
"""

_SIZE = (6.4, 4.0)  # of a figure, in inches
_PADS = (0.12, 0.1)  # around the axes, in inches
_DASHES: tuple[Any, ...] = ("-", (0, (5, 1.6)), (0, (1.2, 1.2)), (0, (6, 1.5, 1.2, 1.5)))


def style(place: int) -> dict[str, Any]:
    """The colour and dashes of the line at this place; they repeat after sixteen lines."""
    return {
        "color": PALETTE[place % len(PALETTE)],
        "linestyle": _DASHES[place // len(PALETTE) % len(_DASHES)],
    }


def ramp(count: int) -> list[str]:
    """So many colours from cold to hot, for ordered things."""
    anchors = np.array([colors.to_rgb(name) for name in (BLUE, PURPLE, VERMILLION)])
    places = np.linspace(0.0, 2.0, count)
    channels = [np.interp(places, range(3), anchors[:, channel]) for channel in range(3)]
    return [colors.to_hex(rgb) for rgb in zip(*channels, strict=True)]


def axes(ax: Axes | None, height: float = _SIZE[1]) -> Axes:
    """The given axes, or those of a new figure.

    A new figure comes from pyplot, so that a notebook shows it and ``plt.savefig()`` knows it. For
    given axes, pyplot isn't even imported.

    Args:
        ax: Axes, or None.
        height: The height of a new figure, in inches.

    Raises:
        LayerwiseError: ``ax`` is something else.
    """
    if isinstance(ax, Axes):
        return ax
    if ax is not None:
        raise LayerwiseError(
            f"ax={shown(ax)} must be Axes of Matplotlib, such as those of plt.subplots(), or None "
            "for a new figure. Name what else you give, such as column=."
        )
    from matplotlib import pyplot

    figure, made = pyplot.subplots(figsize=(_SIZE[0], height), layout="constrained")
    figure.set_layout_engine("constrained", w_pad=_PADS[0], h_pad=_PADS[1])
    return made


def save(
    path: str | Path, draw: Callable[[Axes], object], *, transparent: bool = False, dpi: int = 200
) -> None:
    """Draw on the axes of a new figure, and write it to a file.

    Args:
        path: The file; its suffix says of what kind: ``.png``, ``.svg``, ``.pdf``, or another that
            Matplotlib knows.
        draw: Draws on the axes that it gets.
        transparent: Whether the ground is see-through, for pages in light and dark style.
        dpi: Dots an inch.

    Raises:
        LayerwiseError: The suffix is unknown, or the file can't be written. No part of it is left.

    Examples:
        >>> import pathlib, tempfile
        >>> from layerwise import cosine, plots
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "cosine.svg"
        >>> plots.save(path, lambda ax: plots.schedule(cosine(100), ax=ax))
        >>> path.stat().st_size > 0
        True
    """
    kind = _kind_of(path)
    ground = "none" if transparent else "white"
    figure = Figure(figsize=_SIZE, layout="constrained", facecolor=ground)
    figure.set_layout_engine("constrained", w_pad=_PADS[0], h_pad=_PADS[1])
    ax = figure.subplots()
    if transparent:
        ax.set_facecolor("none")
    draw(ax)
    picture = BytesIO()
    figure.savefig(picture, dpi=dpi, format=kind)
    with written_whole(path, "The picture", LayerwiseError) as file:
        file.write(picture.getbuffer())


def _kind_of(path: object) -> str:
    """The kind of picture that a file's suffix names."""
    known = Figure().canvas.get_supported_filetypes()
    suffix = Path(path).suffix if isinstance(path, str | PathLike) else ""
    kind = suffix.removeprefix(".").lower()
    if kind not in known:
        raise LayerwiseError(
            f"The path of a picture must end in .png, .svg or .pdf, got {shown(path)}."
        )
    return kind


def dress(ax: Axes, title: str, x: str, y: str) -> None:
    """Set title, labels and a quiet frame, readable on the figure's present ground.

    On a transparent ground (``facecolor="none"``), for pages in light or dark style, texts are of
    a grey that can be read on both.
    """
    ink, quiet = inks(ax)
    text = printable(shorten(title, MOST_CHARACTERS), keep="\n")
    ax.set_title(text, loc="left", fontsize=11, color=ink, pad=10, **PLAIN)
    ax.set_xlabel(name_text(x), color=quiet, fontsize=9.5, **PLAIN)
    ax.set_ylabel(name_text(y), color=quiet, fontsize=9.5, **PLAIN)
    for side, spine in ax.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(GREY)
    ax.tick_params(axis="both", which="both", color=GREY, labelcolor=quiet, labelsize=9)
    ax.tick_params(axis="y", which="both", length=0)
    ax.grid(axis="y", color=GREY, alpha=0.28, linewidth=0.7)
    ax.set_axisbelow(True)


def dress_second(ax: Axes, label: str, color: str) -> None:
    """Dress a second axis at the right, in the colour of its lines."""
    ax.set_ylabel(name_text(label), color=color, fontsize=9.5, **PLAIN)
    for spine in ax.spines.values():
        spine.set_visible(False)
    ax.tick_params(axis="y", which="both", length=0, labelcolor=color, labelsize=9)
    ax.grid(visible=False)


def from_zero(ax: Axes) -> None:
    """Let a linear y axis begin a little below 0, if no line goes below 0."""
    if ax.get_yscale() == "log":  # the caller's
        return
    values = np.concatenate([np.asarray(line.get_ydata(), np.float64) for line in ax.lines])
    values = values[np.isfinite(values)]
    if len(values) and values.min() >= 0:
        top = values.max() or 1.0
        ax.set_ylim(-0.04 * top, 1.06 * top)


def inks(ax: Axes) -> tuple[str, str]:
    """The colours for important and for other text on the figure's ground."""
    patch = figure_of(ax).patch
    red, green, blue, alpha = colors.to_rgba(patch.get_facecolor())
    if alpha < 0.5 or not patch.get_visible():
        return GREY, GREY
    return ("#1F2328", "#4D555E") if luminance((red, green, blue)) > 0.2 else ("#F0F0F0", "#B8B8B8")


def luminance(color: ColorType) -> float:
    """The relative luminance of a colour, from 0 to 1, as WCAG 2.2 defines it."""
    rgb = np.array(colors.to_rgb(color))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))


def legend(ax: Axes, handles: Sequence["Artist"], labels: Sequence[str], most: int = 16) -> None:
    """Explain lines below the axes, where nothing is covered, in as many columns as fit.

    If there are more than ``most``, only some are named, the first and the last among them.
    """
    shown = list(zip(handles, labels, strict=True))
    if len(shown) > most:
        shown = [shown[place] for place in evenly(len(shown), most)]
    if not shown:
        return
    texts = [name_text(label, 28 if len(shown) > 5 else 46) for _, label in shown]
    columns = max(1, min(len(shown), 4, 76 // (max(map(len, texts)) + 7)))
    below = ScaledTranslation(-6 / 72, -36 / 72, figure_of(ax).dpi_scale_trans)
    made = ax.legend(
        [handle for handle, _ in shown],
        texts,
        ncols=columns,
        loc="upper left",
        bbox_to_anchor=(0, 0),
        bbox_transform=ax.transAxes + below,
        frameon=False,
        fontsize=9,
        labelcolor=inks(ax)[1],
        borderaxespad=0,
        handlelength=2.2,
        columnspacing=1.6,
    )
    for text in made.get_texts():
        text.set(**PLAIN)


def note_above(ax: Axes, text: str, x: float, align: str, **look: Any) -> None:
    """Put a note between the axes and their title, which moves up."""
    ax.annotate(
        text,
        (x, 1),
        (0, 4),
        xycoords="axes fraction",
        textcoords="offset points",
        ha=align,
        va="bottom",
        color=VERMILLION,
        **{"fontsize": 9.5, **PLAIN, **look},
    )
    ax.set_title(
        ax.get_title(loc="left"), loc="left", pad=13 + 13 * len(text.splitlines()), **PLAIN
    )


def figure_of(ax: Axes) -> Figure:
    """The figure that axes belong to, around all subfigures."""
    figure = ax.get_figure(root=True)
    if figure is None:
        raise LayerwiseError("These axes belong to no figure any more. Make new ones.")
    return figure


def lines_of(text: str, width: int = 62, most: int = 2) -> str:
    """The text on a few lines; what doesn't fit is cut."""
    found = wrap(name_text(text), width) or [""]
    if len(found) > most:
        found = [*found[: most - 1], shorten(" ".join(found[most - 1 :]), width)]
    return "\n".join(found)
