"""The plan of an optimizer whose groups are made already, by Layerwise or by hand."""

from collections.abc import Sequence
from dataclasses import replace
from functools import reduce
from typing import Any

from torch.optim import Optimizer

from layerwise.multipliers import Plan, PlanRow, Value, multiply_plans
from layerwise.torch._groups import stored_multiplier
from layerwise.torch._parameters import SEPARATOR, NamedTensor
from layerwise.torch._scheduler.group_rates import base_of
from layerwise.torch._scheduler.group_schedules import names_of
from layerwise.torch._scheduler.schedule_lr import ScheduleLR


def plan_of_groups(
    tensors: Sequence[NamedTensor], optimizer: Optimizer, schedule: Any, steps: Sequence[int]
) -> Plan:
    """The groups of an optimizer, as a row for each parameter of a model.

    The plan's rate is the highest base rate among the groups, and a row's multiplier is what its
    group has of that. A parameter in no group is not trained.

    Args:
        tensors: The model's parameters.
        optimizer: The optimizer.
        schedule: A factor on all base rates, a ``ScheduleLR``, or None.
        steps: The steps to show rates at, beside the present one.
    """
    groups, names = optimizer.param_groups, names_of(optimizer)
    bases = [base_of(group) for group in groups]
    highest = max(bases, default=0.0) or 1.0
    own = [stored_multiplier.get(group, name) for group, name in zip(groups, names, strict=True)]
    place = {id(tensor): i for i, group in enumerate(groups) for tensor in group["params"]}

    def plan(values: Sequence[Value | None], rules: Sequence[str | None]) -> Plan:
        rows = []
        for named in tensors:
            i = place.get(id(named.tensor))
            if i is None:
                rows.append(PlanRow(replace(named.parameter(), trainable=False), None, 1.0))
            else:
                parameter = named.parameter(groups[i].get("weight_decay"))
                value = values[i]
                rows.append(PlanRow(parameter, rules[i], 1.0 if value is None else value))
        return Plan(tuple(rows), learning_rate=highest, separator=SEPARATOR)

    unnamed = [None] * len(groups)
    plans = [plan([base / highest for base in bases], names), plan(own, unnamed)]
    if isinstance(schedule, ScheduleLR):
        plans.append(plan(schedule.group_schedules(), unnamed))
        step, schedule = schedule.last_epoch, None
    else:
        step = 0
    result: Plan = reduce(multiply_plans, plans)
    return replace(result, schedule=schedule, step=step, steps=tuple(steps))
