"""The plan of an optimizer's variables, and the rates that it means at a step."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import reduce
from typing import Any

import keras
from keras import ops

from layerwise.keras._optimizer.factors import evaluate_on_host
from layerwise.keras._optimizer.spec import Spec
from layerwise.keras._parameters import parameters_of
from layerwise.keras._schedule import LearningRateSchedule
from layerwise.multipliers import Plan, multiply_plans
from layerwise.schedules import Schedule, from_function


def plan_of(variables: Sequence[Any], optimizer: Any, specs: Sequence[Spec]) -> Plan:
    """The plan of these variables under one set of rules inside another."""
    parameters = parameters_of(variables, optimizer)
    plans = []
    for spec in specs:
        plans.append(spec.resolve(parameters))
        parameters = [replace(p, annotation=None) for p in parameters]  # it counts once
    plan: Plan = reduce(multiply_plans, plans)
    return plan


def with_rates(plan: Plan, optimizer: Any, steps: Sequence[int]) -> Plan:
    """The plan with the optimizer's base rate, its present step, and the steps to show."""
    now = int(ops.convert_to_numpy(optimizer.iterations))
    moving = _moving_base(optimizer)
    if moving is None:
        base = float(ops.convert_to_numpy(optimizer.learning_rate))
        return replace(plan, learning_rate=base, step=now, steps=tuple(steps))
    whole = Plan((), schedule=moving, separator=plan.separator)
    schedule = multiply_plans(whole, replace(plan, rows=())).schedule
    return replace(plan, learning_rate=1.0, schedule=schedule, step=now, steps=tuple(steps))


def rates_now(plan: Plan) -> dict[str, float]:
    """Each variable's rate at the plan's step, by name; a name met again gets a number."""
    rates: dict[str, float] = {}
    met: Counter[str] = Counter()
    for row, rate in zip(plan.rows, plan.rates(plan.step), strict=True):
        name = row.parameter.name
        met[name] += 1
        rates[name if met[name] == 1 else f"{name} ({met[name]})"] = float(rate)
    return rates


def _moving_base(optimizer: Any) -> Schedule | None:
    """The base rate as a schedule, if it is one."""
    rate = optimizer._learning_rate
    if isinstance(rate, LearningRateSchedule):
        return rate.schedule
    if isinstance(rate, keras.optimizers.schedules.LearningRateSchedule):
        # Keras counts batches here: so many to an update.
        batches = optimizer.gradient_accumulation_steps or 1
        return from_function(lambda step: evaluate_on_host(rate, int(step) * batches))
    return None
