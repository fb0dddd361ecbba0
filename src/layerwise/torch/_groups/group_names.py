"""What the parameter groups of an optimizer are called."""

from collections.abc import Sequence

from layerwise.multipliers import Plan, distinct, group_labels
from layerwise.torch._parameters import unwrapped


def group_names(plan: Plan, groups: Sequence[tuple[int, Sequence[int]]]) -> list[str]:
    """A readable name for each group, each once.

    Args:
        plan: The plan that the groups are made by.
        groups: Each group's multiplier, as its place in ``plan.groups``, and places of its rows.

    Returns:
        Names such as ``backbone``, ``encoder.layer.3``, ``default`` and ``default, no decay``.
    """
    members: dict[int, list[int]] = {}
    for multiplier, places in groups:
        members[multiplier] = sorted([*members.get(multiplier, ()), *places])
    names = [unwrapped(row.parameter.name) for row in plan.rows]
    labels = dict(zip(members, group_labels(plan, list(members.values()), names), strict=True))
    numbers = [multiplier for multiplier, _ in groups]
    return distinct(
        [
            labels[multiplier]
            + (
                ", no decay"
                if numbers.count(multiplier) > 1
                and plan.rows[places[0]].parameter.weight_decay == 0
                else ""
            )
            for multiplier, places in groups
        ]
    )
