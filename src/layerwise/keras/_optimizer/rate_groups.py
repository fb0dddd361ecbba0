"""The rates of a plan's groups over many steps at once, by names that can be read."""

from typing import Any

import numpy as np
import numpy.typing as npt

from layerwise.keras._internals.optimizer import inner_optimizer
from layerwise.keras._optimizer.factors import Value, calls_a_function, evaluate_on_host
from layerwise.keras._optimizer.lr_multiplier import LRMultiplier
from layerwise.keras._optimizer.plan import plan_of
from layerwise.multipliers import Plan, distinct, group_labels
from layerwise.schedules import Schedule

Floats = npt.NDArray[np.float64]
Steps = npt.NDArray[np.int64]


def over(value: Value, steps: Steps) -> Floats:
    """A value at each of these steps, computed in one go where it allows that."""
    if isinstance(value, float):
        return np.full(len(steps), value)
    if isinstance(value, Schedule) and not calls_a_function(value):
        return np.asarray(value(steps), dtype="float64")
    different, places = np.unique(steps, return_inverse=True)
    return np.array([evaluate_on_host(value, int(step)) for step in different])[places]


class RateGroups:
    """The parameters of a plan that share a multiplier, each group under a name.

    Args:
        plan: The plan of an optimizer, its values as that evaluates them.
        model: The model's name, left out of the groups' names.
    """

    def __init__(self, plan: Plan, model: str = "") -> None:
        self.schedule = plan.schedule
        paths = [row.parameter.name.removeprefix(f"{model}/") for row in plan.rows]
        names = distinct(group_labels(plan, [places for _, places in plan.groups], paths))
        self.values: dict[str, Value] = {
            name: value for name, (value, _) in zip(names, plan.groups, strict=True)
        }

    def rates(self, base: Floats, steps: Steps) -> dict[str, Floats]:
        """Each group's effective rate at each step, for the base rate at each."""
        common = base if self.schedule is None else base * over(self.schedule, steps)
        return {name: common * over(value, steps) for name, value in self.values.items()}


def groups_of(model: Any) -> RateGroups | None:
    """The groups of a model's variables under a multiplied optimizer; None under any other."""
    inner = inner_optimizer(model.optimizer)
    if not isinstance(inner, LRMultiplier):
        return None
    own = inner._multiplied
    return RateGroups(
        own.plan or plan_of(model.trainable_variables, inner, own.specs), model=model.name
    )
