"""The files that a command reads and writes, refused at the start if they can't be."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from layerwise.errors import ConfigError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

STDIO = Path("-")
"""Instead of a file: stdin or stdout."""


def readable(path: Path) -> Path:
    """Refuse a file that is not there."""
    if path != STDIO and not path.is_file():
        raise typer.BadParameter(f"There is no file {path}.")
    return path


def writable(path: Path | None) -> Path | None:
    """Refuse a file that can't be written at the start, not after the work."""
    if path is not None and path != STDIO and not path.parent.is_dir():
        raise typer.BadParameter(f"There is no folder {path.parent}.")
    return path


_SUFFIXES = (".png", ".svg", ".pdf")
_DOTS = 200  # an inch


def picture(path: Path | None) -> Path | None:
    """Refuse a picture that can't be written, or whose kind is not known."""
    if path is not None and path.suffix.lower() not in _SUFFIXES:
        raise typer.BadParameter(f"A picture ends in {', '.join(_SUFFIXES)}; {path.name} doesn't.")
    return writable(path)


def save_figure(path: Path, draw: "Callable[[Axes], object]", transparent: bool = False) -> None:
    """Write what is drawn on the axes of one figure."""
    from matplotlib.figure import Figure

    figure = Figure(
        figsize=(6.4, 4.0), layout="constrained", facecolor="none" if transparent else "white"
    )
    figure.set_layout_engine("constrained", w_pad=0.12, h_pad=0.1)
    ax = figure.subplots()
    if transparent:
        ax.set_facecolor("none")
    draw(ax)
    figure.savefig(path, dpi=_DOTS)


def read_json(path: Path) -> Any:
    """What is in a file, or on stdin for ``-``.

    Raises:
        ConfigError: It is no JSON, or a key is there twice, of which one would be lost.
    """
    name = "stdin" if path == STDIO else path.name
    try:
        text = sys.stdin.read() if path == STDIO else path.read_text(encoding="utf-8")
        return json.loads(text, object_pairs_hook=_once)
    except ConfigError as error:
        raise ConfigError(f"{name}: {error}") from None
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{name} is no JSON: {error}.") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ConfigError(f"the key {key!r} is there twice; keep one.")
        found[key] = value
    return found
