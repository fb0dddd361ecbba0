"""The folder that the demo writes into, and its pictures."""

from pathlib import Path

from layerwise.demo._compare import Comparison
from layerwise.demo._ways import LAYERWISE


def new_folder(parent: Path, name: str) -> Path:
    """Make a new folder of this name; if there is one already, a number follows the name.

    Args:
        parent: The folder to make it in; it is made, too, if it does not exist.
        name: The name.
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
    """Draw the finder's curve and the rates of the layer-wise way, and the rates that were found.

    Args:
        comparison: The results.
        folder: Where to write ``finder.png``, ``rates.png``, ``found.png`` and ``probes.png``.
    """
    from layerwise import plots

    steps = comparison.settings.steps
    plots.save(folder / "finder.png", comparison.of(LAYERWISE).draws[0].finding.plot)
    plots.save(folder / "rates.png", lambda ax: plots.heat_map(comparison.plan, steps, ax=ax))
    found = comparison.found
    plots.save(folder / "found.png", found.plot)
    plots.save(folder / "probes.png", found.heat_map)
