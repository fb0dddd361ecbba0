"""The picture of the best rates over widths."""

from pathlib import Path
from typing import Any

from matplotlib import pyplot

from benchmarks.width._best import best_power
from layerwise.plots._style import dress, style

_NAMES = {"adam": "Adam", "sgd": "SGD"}


def draw(data: dict[str, Any], path: Path) -> None:
    """Draw the rate of the lowest loss for each network, optimizer and way."""
    cases = [(n, f) for n in data if n != "transfer" for f in data[n]]
    lines = -(-len(cases) // 2)
    figure, axes = pyplot.subplots(lines, 2, figsize=(8.4, 3.3 * lines), squeeze=False)
    figure.set_layout_engine("constrained")
    for ax, (network, family) in zip(axes.flat, cases, strict=False):
        for place, (way, widths) in enumerate(data[network][family].items()):
            known = sorted(map(int, widths))
            best = [2.0 ** best_power(widths[str(w)]) for w in known]
            label = "width_scaling" if way == "scaled" else way
            ax.loglog(known, best, marker="o", label=label, **style(place))
        ax.set_xticks(known, [str(width) for width in known])
        ax.minorticks_off()
        dress(ax, f"{network}, {_NAMES[family]}", "width", "best rate")
        ax.legend()
    figure.savefig(path, dpi=110)
