"""The groups of a plan that one tells apart in a picture, and what they are called."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from layerwise._numbers import number_text
from layerwise._series import Floats
from layerwise.multipliers import Plan, PlanRow, Value
from layerwise.multipliers._names import common_start
from layerwise.plots._curves import most_steps
from layerwise.plots._style import shorten
from layerwise.schedules import values_over


@dataclass(frozen=True)
class Group:
    """Parameters of a plan whose rates are equal at every step.

    Attributes:
        name: What they have in common, and their multiplier.
        value: Their multiplier.
        rows: Their places in the plan.
        frozen: Whether they never change.
    """

    name: str
    value: Value
    rows: tuple[int, ...]
    frozen: bool


def groups_of(plan: Plan) -> list[Group]:
    """The different multipliers by first appearance, then all that is frozen, as one.

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

    It is ``learning_rate * schedule(step) * multiplier(step)``; without a learning rate the
    multiplier alone.
    """
    base = np.ones(len(steps))
    if plan.learning_rate is not None:
        base = plan.learning_rate * base
        if plan.schedule is not None:
            base = base * values_over(plan.schedule, steps)
    return np.array([base * values_over(group.value, steps) for group in groups])


def most_steps_of(plan: Plan) -> int:
    """How many steps of a plan are evaluated at most."""
    return most_steps([plan.schedule, *(value for value, _ in plan.groups)])


def unit_of(plan: Plan) -> str:
    """What the numbers of a plan are."""
    return "multiplier" if plan.learning_rate is None else "learning rate"


def _label(rows: Sequence[PlanRow], separator: str) -> str:
    """The layer that rows have in common, else the first and the last one."""
    names = [row.parameter.name for row in rows]
    layers = [tuple(name.split(separator)[:-1]) or (name,) for name in names]
    common = common_start(layers)
    if common:
        return separator.join(common)
    first, last = separator.join(layers[0]), separator.join(layers[-1])
    return f"{shorten(first, 18)} … {shorten(last, 18)}"


def _factor(value: Value) -> str:
    if isinstance(value, float | int):
        return number_text(value, 3)
    return shorten(getattr(value, "__name__", None) or repr(value), 26)
