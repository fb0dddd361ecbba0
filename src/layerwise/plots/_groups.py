"""The groups of a plan that a picture tells apart, and their names."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from layerwise._numbers import number_text
from layerwise._series import Floats
from layerwise._text import name_text
from layerwise.errors import LayerwiseError
from layerwise.multipliers import Plan, PlanRow, Value, common_start, value_text
from layerwise.schedules import counters_of, values_over


@dataclass(frozen=True)
class Group:
    """Parameters of a plan that have the same rate at every step.

    Attributes:
        name: What their names have in common, and their multiplier.
        value: Their multiplier.
        rows: Their places in the plan.
        frozen: Whether they are frozen.
    """

    name: str
    value: Value
    rows: tuple[int, ...]
    frozen: bool


def groups_of(plan: Plan) -> list[Group]:
    """The groups by first appearance, and last all frozen parameters as one group.

    Examples:
        >>> from layerwise.multipliers import Parameter, resolve
        >>> names = ["embed/table", "body/kernel", "head/kernel"]
        >>> rules = {"embed": 0, "body": 0.1}
        >>> [group.name for group in groups_of(resolve(map(Parameter, names), rules))]
        ['body: 0.1', 'head: 1', 'frozen: embed']
    """
    found, frozen = [], []
    for value, places in plan.groups:
        moving = tuple(place for place in places if not plan.rows[place].frozen)
        frozen += [place for place in places if plan.rows[place].frozen]
        if moving:
            label = _label([plan.rows[place] for place in moving], plan.separator)
            found.append(Group(f"{label}: {_factor(value)}", value, moving, False))
    if frozen:
        places = tuple(sorted(frozen))
        label = _label([plan.rows[place] for place in places], plan.separator)
        found.append(Group(f"frozen: {label}", 0.0, places, True))
    return found


def group_rates(plan: Plan, groups: Sequence[Group], steps: npt.NDArray[np.int64]) -> Floats:
    """The rate of each group at each step, shape ``(groups, steps)``.

    That is ``learning_rate * schedule(step) * multiplier(step)``, or the multiplier alone if the
    plan has no learning rate.

    Raises:
        LayerwiseError: A rate counts something other than updates.
    """
    shown: list[Value | None] = [group.value for group in groups]
    if plan.learning_rate is not None:
        shown.append(plan.schedule)
    counting = next((value for value in shown if counters_of([value])), None)
    if counting is not None:
        raise LayerwiseError(
            f"A plan is drawn over updates, and {value_text(counting)} counts "
            f"{' and '.join(counters_of([counting]))}. Draw that alone: plots.schedule(...)."
        )
    base = np.ones(len(steps))
    if plan.learning_rate is not None:
        base = plan.learning_rate * base
        if plan.schedule is not None:
            base = base * values_over(plan.schedule, steps)
    return np.array([base * values_over(group.value, steps) for group in groups])


def unit_of(plan: Plan) -> str:
    """What the numbers of a plan are: learning rates, or multipliers."""
    return "multiplier" if plan.learning_rate is None else "learning rate"


def _label(rows: Sequence[PlanRow], separator: str) -> str:
    """The layer that all rows belong to, else the first and the last layer."""
    names = [row.parameter.name for row in rows]
    layers = [tuple(name.split(separator)[:-1]) or (name,) for name in names]
    common = common_start(layers)
    if common:
        return name_text(separator.join(common))
    first, last = separator.join(layers[0]), separator.join(layers[-1])
    return f"{name_text(first, 18)} … {name_text(last, 18)}"


def _factor(value: Value) -> str:
    if isinstance(value, float | int):
        return number_text(value, 3)
    return name_text(str(value_text(value)), 26)
