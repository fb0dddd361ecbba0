"""The one door from a value to its picture or its table.

Plans and findings show themselves, but only this module knows with what. What it opens is
imported when something is shown, so that ``import layerwise`` loads neither Matplotlib nor Rich.
It is the only module that imports from the floors above the nouns.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from layerwise._text import load_rich

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from rich.table import Table

    from layerwise.finder import LRFinding, RatesFinding
    from layerwise.multipliers import Plan, Value, WidthCheck
    from layerwise.recorder import History
    from layerwise.schedules import Schedule


def plan_curves(plan: "Plan", steps: int | Sequence[int], ax: "Axes | None") -> "Axes":
    """The rate of each group of a plan over the steps; see ``plots.plan``."""
    from layerwise import plots

    return plots.plan(plan, steps, ax=ax)


def plan_heat_map(
    plan: "Plan", steps: int | Sequence[int], ax: "Axes | None", schedule: "Value | None"
) -> "Axes":
    """The rate of each layer of a plan at each step; see ``plots.heat_map``."""
    from layerwise import plots

    return plots.heat_map(plan, steps, ax=ax, schedule=schedule)


def plan_tables(plan: "Plan", width: int) -> "Sequence[Table]":
    """A plan as Rich tables for lines of ``width`` characters."""
    load_rich()
    from layerwise import _plan_table

    return _plan_table.plan_tables(plan, width)


def plan_text(plan: "Plan") -> str:
    """The table as text, or one line that says how to get it where Rich is not installed."""
    try:
        load_rich()
        from layerwise import _plan_table
    except ModuleNotFoundError as error:
        if error.name != "rich":
            raise
        return f'{plan!r}\nTo see it as a table: pip install "layerwise[cli]"'
    return _plan_table.plan_text(plan)


def finding_curves(finding: "LRFinding", ax: "Axes | None") -> "Axes":
    """The losses of a search over the rate; see ``plots.finding``."""
    from layerwise import plots

    return plots.finding(finding, ax=ax)


def rates_bars(finding: "RatesFinding", ax: "Axes | None") -> "Axes":
    """The multiplier of each band; see ``plots.rates``."""
    from layerwise import plots

    return plots.rates(finding, ax=ax)


def rates_heat_map(finding: "RatesFinding", ax: "Axes | None") -> "Axes":
    """The scores of probes over rate and tilt; see ``plots.rates_heat_map``."""
    from layerwise import plots

    return plots.rates_heat_map(finding, ax=ax)


def rates_table(finding: "RatesFinding", width: int) -> "Table":
    """A finding of rates as a Rich table for lines of ``width`` characters."""
    load_rich()
    from layerwise import _rates_table

    return _rates_table.rates_table(finding, width)


def rates_text(finding: "RatesFinding") -> str:
    """The table as text with the reason, or the reason alone where Rich is not installed."""
    try:
        load_rich()
        from layerwise import _rates_table
    except ModuleNotFoundError as error:
        if error.name != "rich":
            raise
        return f"{finding!r}\n{finding.reason}"
    return _rates_table.rates_text(finding)


def width_check_lines(check: "WidthCheck", ax: "Axes | None") -> "Axes":
    """Each layer's change over the width; see ``plots.width_check``."""
    from layerwise import plots

    return plots.width_check(check, ax=ax)


def plan_html(plan: "Plan") -> str:
    """A plan as a table for notebooks, or as its text where Rich is not installed."""
    try:
        load_rich()
        from layerwise import _plan_table
    except ModuleNotFoundError as error:
        if error.name != "rich":
            raise
        from layerwise import _html

        return _html.plain(plan_text(plan))
    return _plan_table.plan_html(plan)


def schedule_html(schedule: "Schedule") -> str:
    """A schedule's expression and curve for notebooks."""
    from layerwise import _html

    return _html.schedule(schedule)


def finding_html(finding: "LRFinding") -> str:
    """A finding's answer and curve for notebooks."""
    from layerwise import _html

    return _html.finding(finding)


def rates_html(finding: "RatesFinding") -> str:
    """A finding of rates as a table for notebooks."""
    from layerwise import _html

    return _html.rates_finding(finding)


def history_html(history: "History") -> str:
    """A run's loss and its last values for notebooks."""
    from layerwise import _html

    return _html.history(history)
