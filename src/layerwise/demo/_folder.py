"""Where a run of the demo keeps what happened, and its pictures."""

from pathlib import Path

from layerwise.demo._compare import Comparison
from layerwise.demo._ways import LAYERWISE

_SIZE = (6.4, 4.0)  # inches
_DOTS = 150  # an inch


def new_folder(parent: Path, name: str) -> Path:
    """A folder of this name that was not there, with a number behind it if need be.

    Args:
        parent: Where to make it; made too, if need be.
        name: Its name.
    """
    number = 1
    while True:
        folder = parent / (name if number == 1 else f"{name}-{number}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            number += 1
        else:
            return folder


def save_pictures(comparison: Comparison, folder: Path) -> None:
    """The finder's curve and the rates of the layers, both of the layer-wise way.

    Args:
        comparison: What was measured.
        folder: Where to put ``finder.png`` and ``rates.png``.
    """
    from matplotlib.figure import Figure

    from layerwise import plots

    [layerwise] = [result for result in comparison.results if result.way is LAYERWISE]
    figure = Figure(figsize=_SIZE, layout="constrained")
    plots.finding(layerwise.findings[0], ax=figure.subplots())
    figure.savefig(folder / "finder.png", dpi=_DOTS)
    figure = Figure(figsize=_SIZE, layout="constrained")
    plots.heat_map(comparison.plan, comparison.settings.steps, ax=figure.subplots())
    figure.savefig(folder / "rates.png", dpi=_DOTS)
