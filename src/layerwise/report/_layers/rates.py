"""The rate of every layer over the training: as recorded, or as planned where nothing was."""

from collections.abc import Mapping, Sequence

import numpy as np

from layerwise._series import Floats, evenly, places_of_extremes
from layerwise.multipliers import Parameter, Plan, PlanRow, distinct, group_labels
from layerwise.report._layers.grid import MULTIPLIER, RATE, Grid, recorded
from layerwise.report._lines import FEWEST_POINTS, POINTS
from layerwise.report._rates import MOST_LINES
from layerwise.report._run import Run, as_floats

LASTING = 60
"""How many columns show what never changes. A column is centred on its step, so that two of them,
at the first step and the last, would lie half outside the training."""


def grid_of_rates(run: Run) -> Grid | None:
    """The rates that the training had, of each parameter if the plan says whose group is whose.

    A plan knows nothing of what else sets a rate, such as a callback or another scheduler. So it
    is drawn only if no rate of any group was recorded.
    """
    steps, groups = run.rates
    plan = planned(run)
    if not groups:
        return plan
    if not np.isfinite(steps).any():
        return None  # the rates were recorded without their steps
    found = None if plan is None else _of_parameters(run, plan, steps, groups)
    if found is None and len(groups) > MOST_LINES:
        found = recorded(steps, groups, RATE)
    return found


def planned(run: Run) -> Grid | None:
    """The rates of the run's plan."""
    plan = run.history.plan
    if not plan:
        return None
    try:
        names = tuple(map(str, plan["table"]["parameter"]))
        values = as_floats(plan["rates"])[np.asarray(plan["of"], np.intp)]
        steps = as_floats(plan["steps"])
        unit = MULTIPLIER if plan["shows"] == "multiplier" else RATE
    except (KeyError, TypeError, ValueError, IndexError):
        return None
    if not names or values.shape != (len(names), len(steps)):
        return None
    last = as_floats(run.batch.get("step", np.empty(0))).max(initial=0.0)
    if len(steps) == 1 and last > steps[0]:
        # A plan in which nothing changes was saved at its first step only.
        steps = steps[0] + evenly(int(last - steps[0]) + 1, LASTING)
        values = np.repeat(values, len(steps), axis=1)
    return Grid(names, steps, values, unit, planned=True)


def _of_parameters(
    run: Run, plan: Grid, steps: Floats, groups: Mapping[str, Floats]
) -> Grid | None:
    """The recorded rates, a row for each parameter; None if their groups aren't known.

    A frozen parameter in no group has the rate 0; any other in no group has no row, since its rate
    was not recorded.
    """
    owners = _owners(run, plan.names, groups)
    if owners is None:
        return None
    curves = np.stack(list(groups.values()))
    finite = np.flatnonzero(np.isfinite(curves).any(axis=0))
    # The grid repeats each group for each of its parameters, so the steps are thinned first.
    most = max(POINTS // len(curves), FEWEST_POINTS)
    kept = [places_of_extremes(curve, most) for curve in curves[:, finite]]
    places = finite[np.unique(np.concatenate(kept))]
    numbers = {name: number for number, name in enumerate(groups)}
    frozen = _column(run, "frozen", len(owners))
    rows = [
        (name, np.zeros(len(places)) if owner is None else curves[numbers[owner], places])
        for name, owner, still in zip(plan.names, owners, frozen, strict=True)
        if owner is not None or still
    ]
    names, values = zip(*rows, strict=True)
    return Grid(names, steps[places], np.stack(values), RATE)


def _owners(
    run: Run, names: Sequence[str], groups: Mapping[str, Floats]
) -> list[str | None] | None:
    """The recorded group of each parameter, or None where it has none; None if it isn't known.

    The adapters name a group after its rules or its layers; a record by hand may name it anything.
    A reading of the names counts if every group has a parameter, or every trained parameter a
    group, and if no group has parameters with different rates in the plan.
    """
    frozen = _column(run, "frozen", len(names))
    of = _groups(run)
    for reading in _readings(run, names, groups):
        owners = [label if label in groups else None for label in reading]
        everyone = all(owner or still for owner, still in zip(owners, frozen, strict=True))
        pairs = {(owner, group) for owner, group in zip(owners, of, strict=True) if owner}
        found = {owner for owner, _ in pairs}
        if found and (everyone or len(found) == len(groups)) and len(pairs) == len(found):
            return owners
    return None


def _readings(
    run: Run, names: Sequence[str], groups: Mapping[str, Floats]
) -> list[Sequence[str | None]]:
    """What each parameter's group may be called, the likeliest reading first."""
    rules = _column(run, "rule", len(names))
    named = [None if rule is None else str(rule) for rule in rules]
    separator = "/" if any("/" in name for name in names) else "."
    # Keras' names begin with that of the model, and its groups' do not.
    model = names[0].partition(separator)[0] + separator
    inner = [name.removeprefix(model) for name in names]
    short = inner if all(name.startswith(model) for name in names) else list(names)
    return [
        [rule or "default" for rule in named],
        _labels(run, named, names, separator),
        _labels(run, named, short, separator),
        [_layer_in(groups, name, separator) for name in names],
        [_layer_in(groups, name, separator) for name in short],
    ]


def _labels(
    run: Run, rules: Sequence[str | None], names: Sequence[str], separator: str
) -> list[str]:
    """The names that the adapters give to the groups of a plan, one for each parameter."""
    rows = zip(names, rules, _groups(run), strict=True)
    # A plan groups what has equal values, so the group's number can stand for its multiplier.
    plan = Plan(
        tuple(PlanRow(Parameter(name), rule, float(group)) for name, rule, group in rows),
        separator=separator,
    )
    groups = [places for _, places in plan.groups]
    labels = distinct(group_labels(plan, groups))
    found = {place: label for label, g in zip(labels, groups, strict=True) for place in g}
    return [found[place] for place in range(len(names))]


def _layer_in(groups: Mapping[str, Floats], name: str, separator: str) -> str | None:
    """The innermost group that is named like a parameter, or like a layer that it lies in."""
    while name and name not in groups:
        name = name.rpartition(separator)[0]
    return name or None


def _groups(run: Run) -> Sequence[int]:
    """The number of each parameter's group in a plan that ``planned`` has read."""
    assert run.history.plan is not None
    of: Sequence[int] = run.history.plan["of"]
    return of


def _column(run: Run, title: str, length: int) -> Sequence[object]:
    """A column of the plan's table; None in each row if it has none of this length."""
    assert run.history.plan is not None
    column = run.history.plan["table"].get(title)
    fits = isinstance(column, list) and len(column) == length
    return column if fits else [None] * length
