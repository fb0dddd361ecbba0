"""What a parameter group is called: after the rules that made it, or the layers in it."""

from collections.abc import Sequence

from layerwise.multipliers import Plan, PlanRow
from layerwise.torch._parameters import SEPARATOR, unwrapped

_SHOWN = 3


def group_names(
    plan: Plan, groups: Sequence[tuple[int, Sequence[int]]], keys: frozenset[str]
) -> list[str]:
    """A readable name for each group, each once.

    A group that only explicit rules made has their keys for its name; one that a strategy made
    that of its layers; one without rules is ``default``.

    Args:
        plan: The plan that the groups are made by.
        groups: Each group's multiplier, as its place in ``plan.groups``, and places of its rows.
        keys: The keys of the explicit rules.

    Returns:
        Names such as ``backbone``, ``encoder.layer.3``, ``default`` and ``default, no decay``.
    """
    members: dict[int, list[PlanRow]] = {}
    for multiplier, places in groups:
        members.setdefault(multiplier, []).extend(plan.rows[place] for place in sorted(places))
    numbers = [multiplier for multiplier, _ in groups]
    names = []
    for multiplier, places in groups:
        name = _label(members[multiplier], keys)
        if numbers.count(multiplier) > 1 and plan.rows[places[0]].parameter.weight_decay == 0:
            name += ", no decay"
        names.append(name)
    for place, name in enumerate(names):
        before = names[:place].count(name)
        if before:
            names[place] = f"{name} ({before + 1})"
    return names


def _label(rows: Sequence[PlanRow], keys: frozenset[str]) -> str:
    rules = list(dict.fromkeys(row.rule for row in rows))
    if all(rule is None or rule in keys for rule in rules):
        return _joined(["default" if rule is None else rule for rule in rules])
    layers = list(dict.fromkeys(_layer(row.parameter.name) for row in rows))
    start = layers[0]
    for layer in layers:
        same = 0
        while same < min(len(start), len(layer)) and start[same] == layer[same]:
            same += 1
        start = start[:same]
    if start:
        return SEPARATOR.join(start)
    return _joined(list(dict.fromkeys(SEPARATOR.join(layer) for layer in layers)))


def _layer(name: str) -> tuple[str, ...]:
    """The layer that owns a parameter, or the parameter itself if the model does."""
    parts = tuple(unwrapped(name).split(SEPARATOR))
    return parts[:-1] or parts


def _joined(texts: Sequence[str]) -> str:
    more = len(texts) - _SHOWN
    return " + ".join(texts[:_SHOWN]) + (f" + {more} more" if more > 0 else "")
