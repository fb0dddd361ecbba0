"""The rates of a plan's groups over many steps at once, by names that can be read."""

from collections.abc import Callable, Sequence

import keras
import numpy as np
import numpy.typing as npt

from layerwise.keras._internals.optimizer import inner_optimizer
from layerwise.keras._optimizer.lr_multiplier import LRMultiplier
from layerwise.keras._optimizer.step_values import evaluate_on_host
from layerwise.multipliers import Plan, Value, distinct, group_labels
from layerwise.schedules import counters_of, values_over

Floats = npt.NDArray[np.float64]
Steps = npt.NDArray[np.int64]


def over(value: Value, steps: Steps) -> Floats:
    """A value at each of these steps, computed in one call where it allows that."""
    return values_over(value, steps, evaluate_on_host)


def values_by_group(plan: Plan, model: str = "") -> dict[str, Value]:
    """The multipliers of a plan by the name of their group, without the model's name."""
    paths = [row.parameter.name.removeprefix(f"{model}/") for row in plan.rows]
    labels: Sequence[str] = group_labels(plan, [places for _, places in plan.groups], paths)
    return {name: value for name, (value, _) in zip(distinct(labels), plan.groups, strict=True)}


class RateGroups:
    """The parameters of a plan that share a multiplier, each group under a name.

    Groups whose rate counts something other than updates are left out, since a step doesn't tell
    how much of it there was.

    Args:
        plan: The plan of an optimizer, with values that are ready for an update.
        model: The model's name, left out of the groups' names.
        now: Gets each value and returns it as metrics have decided by now.
    """

    def __init__(
        self, plan: Plan, model: str = "", now: Callable[[Value], Value] = lambda value: value
    ) -> None:
        self.schedule, self._now = plan.schedule, now
        self.values: dict[str, Value] = {
            name: value
            for name, value in values_by_group(plan, model).items()
            if not counters_of([value, plan.schedule])
        }

    def rates(self, base: Floats, steps: Steps) -> dict[str, Floats]:
        """Each group's effective rate at each step, for the base rate at each step."""
        if not self.values:
            return {}
        now, common = self._now, base
        if self.schedule is not None:
            common = base * over(now(self.schedule), steps)
        return {name: common * over(now(value), steps) for name, value in self.values.items()}


def groups_of(model: keras.Model) -> RateGroups | None:
    """The groups of a model's variables under an ``LRMultiplier``; None under any other."""
    optimizer = inner_optimizer(model.optimizer)
    if not isinstance(optimizer, LRMultiplier):
        return None
    plan = optimizer.resolved(model.trainable_variables)
    return RateGroups(plan, model.name, optimizer.decided)
