"""The plan of an optimizer whose groups are made already, by Layerwise or by hand."""

from collections.abc import Sequence
from dataclasses import replace
from functools import reduce

from layerwise.multipliers import Plan, PlanRow, StepValue, Value, multiply_plans
from layerwise.torch._groups.base_rate import base_of, has_rates
from layerwise.torch._groups.stored_multiplier import read_multiplier
from layerwise.torch._optimizer.optimizer_set import OptimizerSet
from layerwise.torch._parameters import SEPARATOR, NamedTensor
from layerwise.torch._scheduler.schedule_lr import ScheduleLR


def plan_of_groups(
    tensors: Sequence[NamedTensor],
    optimizers: OptimizerSet,
    schedule: StepValue | ScheduleLR | None = None,
    *,
    steps: Sequence[int] = (),
    step: int | None = None,
) -> Plan:
    """The groups of optimizers, with a row for each parameter of a model.

    The plan's rate is the highest base rate of the groups, and a row's multiplier is the ratio of
    its group's rate to that. Without any rate, the optimizer makes its own, and the plan shows
    multipliers alone. A parameter in no group is not trained.

    Args:
        tensors: The model's parameters.
        optimizers: The optimizers.
        schedule: A factor on all base rates, a ``ScheduleLR``, or None.
        steps: The steps to show rates at, beside ``step``.
        step: The step that is now; None for that of a ``ScheduleLR``, or 0.
    """
    groups, names = optimizers.groups(), optimizers.names()
    # An optimizer that makes its own rate has none to show: then the multipliers stand alone.
    shown = all(map(has_rates, optimizers.optimizers))
    bases = [base_of(group) if shown else 1.0 for group in groups]
    highest = max(bases, default=0.0) or 1.0
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
        rate = highest if shown else None
        return Plan(tuple(rows), learning_rate=rate, separator=SEPARATOR)

    no_rules = [None] * len(groups)
    multipliers = [read_multiplier(*each) for each in zip(groups, names, strict=True)]
    counts: dict[str, float] = {}
    common: Value | None
    if isinstance(schedule, ScheduleLR):
        multipliers = [schedule.decisions.applied_to(each) for each in multipliers]
    plans = [plan([base / highest for base in bases], names), plan(multipliers, no_rules)]
    if isinstance(schedule, ScheduleLR):
        followed = schedule.group_schedules()
        common = followed[0] if len(set(map(id, followed))) == 1 else None
        if common is None:
            plans.append(plan(followed, no_rules))
        if step is None or step == schedule.last_epoch:
            step, counts = schedule.last_epoch, schedule.counts
    else:
        common = schedule
    result: Plan = reduce(multiply_plans, plans)
    return replace(result, schedule=common, step=step or 0, steps=tuple(steps), counts=counts)
