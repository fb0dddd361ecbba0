"""What a group of parameters is called: after the rules that made it, or the layers in it."""

from collections.abc import Sequence

from layerwise.multipliers._plan import Plan

_SHOWN = 3


def group_labels(
    plan: Plan, groups: Sequence[Sequence[int]], names: Sequence[str] | None = None
) -> list[str]:
    """A readable label for each group of a plan's rows; two may be equal.

    A group is called after its rules if each of these means one multiplier, ``default`` where there
    was none. Otherwise, as under a strategy, it is called after its layers, or where their names
    begin alike after that beginning.

    Args:
        plan: The plan.
        groups: The places of each group's rows.
        names: The rows' names as they are to be read; their own if not given.

    Returns:
        Labels such as ``backbone``, ``encoder/layer/3`` and ``default``.

    Examples:
        >>> from layerwise.multipliers import Parameter, resolve
        >>> plan = resolve([Parameter("body/a/kernel"), Parameter("head/kernel")], {"body": 0.1})
        >>> group_labels(plan, [[0], [1]])
        ['body', 'default']
    """
    meanings: dict[str | None, set[int]] = {}
    for number, (_, members) in enumerate(plan.groups):
        for place in members:
            meanings.setdefault(plan.rows[place].rule, set()).add(number)
    labels = []
    for places in groups:
        rules = list(dict.fromkeys(plan.rows[place].rule for place in places))
        if all(len(meanings[rule]) == 1 for rule in rules):
            labels.append(_joined(["default" if rule is None else rule for rule in rules]))
        else:
            own = [names[place] if names else plan.rows[place].parameter.name for place in places]
            labels.append(_of_layers(own, plan.separator))
    return labels


def _of_layers(names: Sequence[str], separator: str) -> str:
    """The layers that own these parameters; a parameter that no layer owns stands for itself."""
    paths = [tuple(name.split(separator)) for name in names]
    layers = list(dict.fromkeys(path[:-1] or path for path in paths))
    start = layers[0]
    for layer in layers:
        same = 0
        while same < min(len(start), len(layer)) and start[same] == layer[same]:
            same += 1
        start = start[:same]
    if start:
        return separator.join(start)
    return _joined([separator.join(layer) for layer in layers])


def _joined(texts: Sequence[str]) -> str:
    more = len(texts) - _SHOWN
    return " + ".join(texts[:_SHOWN]) + (f" + {more} more" if more > 0 else "")
