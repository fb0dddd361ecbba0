"""Pictures with Matplotlib: plain data in, ``Axes`` out.

Each function draws on the given axes, or on those of a new figure, and returns them. It changes
nothing else, and none of Matplotlib's settings.

Examples:
    >>> from layerwise import cosine, plots, warmup
    >>> plots.schedule(warmup(500) >> cosine(9_500)).get_xlabel()
    'step (optimizer updates)'
"""

try:
    import matplotlib as _matplotlib  # noqa: F401
except ModuleNotFoundError as error:
    if error.name != "matplotlib":
        raise
    raise ModuleNotFoundError(
        'Pictures need matplotlib: pip install "layerwise[plot]".', name=error.name
    ) from error

from layerwise.plots._compare import compare
from layerwise.plots._findings.finding import finding
from layerwise.plots._findings.rates import rates, rates_heat_map
from layerwise.plots._heat_map import heat_map
from layerwise.plots._history import history
from layerwise.plots._plan import plan
from layerwise.plots._schedule import schedule
from layerwise.plots._style import save
from layerwise.plots._width_check import width_check

__all__ = [
    "compare",
    "finding",
    "heat_map",
    "history",
    "plan",
    "rates",
    "rates_heat_map",
    "save",
    "schedule",
    "width_check",
]
