"""The rates of a plan's groups over many steps at once, by names that can be read."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from layerwise.keras._factors import Value, calls_a_function, evaluate_on_host
from layerwise.keras._hooks import inner_optimizer
from layerwise.keras._optimizer import LRMultiplier
from layerwise.keras._rates import plan_of
from layerwise.multipliers import Plan, PlanRow
from layerwise.schedules import Schedule

Floats = npt.NDArray[np.float64]
Steps = npt.NDArray[np.int64]

_SHOWN = 3


def over(value: Value, steps: Steps) -> Floats:
    """A value at each of these steps, computed in one go where it allows that."""
    if isinstance(value, float):
        return np.full(len(steps), value)
    if isinstance(value, Schedule) and not calls_a_function(value):
        return np.asarray(value(steps), dtype="float64")
    different, places = np.unique(steps, return_inverse=True)
    return np.array([evaluate_on_host(value, int(step)) for step in different])[places]


class Groups:
    """The parameters of a plan that share a multiplier, each group under a name.

    Args:
        plan: The plan of an optimizer, its values as that evaluates them.
        model: The model's name, left out of the groups' names.
    """

    def __init__(self, plan: Plan, model: str = "") -> None:
        self.schedule = plan.schedule
        self.values: dict[str, Value] = {}
        groups = [(value, [plan.rows[place] for place in places]) for value, places in plan.groups]
        rules = [{row.rule for row in rows} for _, rows in groups]
        for number, (value, rows) in enumerate(groups):
            others = set[str | None]().union(*rules[:number], *rules[number + 1 :])
            name = base = _name(rows, others, f"{model}/")
            count = 2
            while name in self.values:
                name, count = f"{base} ({count})", count + 1
            self.values[name] = value

    def rates(self, base: Floats, steps: Steps) -> dict[str, Floats]:
        """Each group's effective rate at each step, for the base rate at each."""
        common = base if self.schedule is None else base * over(self.schedule, steps)
        return {name: common * over(value, steps) for name, value in self.values.items()}


def _name(rows: Sequence[PlanRow], rules_elsewhere: set[str | None], model: str) -> str:
    """After the rules that made the group; after its layers, if those made others, too."""
    rules = list(dict.fromkeys(row.rule for row in rows))
    if rules_elsewhere.isdisjoint(rules):
        return _joined(["default" if rule is None else rule for rule in rules])
    paths = [row.parameter.name.removeprefix(model).split("/") for row in rows]
    layers = list(dict.fromkeys(tuple(path[:-1]) or tuple(path) for path in paths))
    if len(layers) == 1:
        return "/".join(layers[0])
    return _joined(["/".join(layer) for layer in layers])


def _joined(texts: Sequence[str]) -> str:
    more = len(texts) - _SHOWN
    return " + ".join(texts[:_SHOWN]) + (f" + {more} more" if more > 0 else "")


def groups_of(model: Any) -> Groups | None:
    """The groups of a model's variables under a multiplied optimizer; None under any other."""
    inner = inner_optimizer(model.optimizer)
    if not isinstance(inner, LRMultiplier):
        return None
    own = inner._multiplied
    return Groups(
        own.plan or plan_of(model.trainable_variables, inner, own.specs), model=model.name
    )
