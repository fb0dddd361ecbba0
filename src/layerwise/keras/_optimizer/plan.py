"""The plan of an optimizer's variables, and the rates that it means at a step."""

from collections.abc import Sequence
from dataclasses import replace
from functools import reduce

import keras
from keras import Variable, ops
from keras.optimizers import Optimizer

from layerwise._checks import number, whole
from layerwise.errors import MultiplierError, UnmatchedRuleError
from layerwise.keras._internals.optimizer import base_rate_of
from layerwise.keras._optimizer.model_facts import facts_of
from layerwise.keras._optimizer.step_values import evaluate_on_host, prepared
from layerwise.keras._parameters import parameters_of
from layerwise.keras._schedule import LearningRateSchedule
from layerwise.multipliers import Plan, RuleSpec, distinct, multiply_plans
from layerwise.schedules import Schedule, from_function

_NOT_AMONG_THEM = (
    "The names are those of the weights that train: a layer with trainable=False is not among "
    "them, nor a kernel that enable_lora() froze. Keras leaves out the name of a nested functional "
    "model, and where a model was saved before its LRMultiplier was built, or without one, the "
    "names of all layers around other layers. layerwise.keras.annotate(layer, multiplier) reaches "
    "all weights of a layer."
)


def plan_of(variables: Sequence[Variable], optimizer: Optimizer, specs: Sequence[RuleSpec]) -> Plan:
    """The plan of these variables under rules inside other rules, each multiplying the next."""
    parameters = parameters_of(variables, optimizer)
    model = facts_of(variables, optimizer)
    plans = []
    for spec in specs:
        try:
            plans.append(spec.resolve(parameters, prepare=prepared, model=model))
        except UnmatchedRuleError as error:
            raise UnmatchedRuleError(f"{error}\n{_NOT_AMONG_THEM}") from None
        parameters = [replace(p, annotation=None) for p in parameters]  # it counts once
    return reduce(multiply_plans, plans)


def with_rates(
    plan: Plan,
    optimizer: Optimizer,
    steps: Sequence[int] = (),
    step: int | None = None,
    learning_rate: float | None = None,
    *,
    trained: Optimizer | None = None,
) -> Plan:
    """The plan with a base rate, the present step, and the steps to show.

    Args:
        plan: The plan.
        optimizer: Gives the base rate.
        steps: The steps to show rates at.
        step: The present step, in place of the optimizer's.
        learning_rate: The base rate, in place of the optimizer's.
        trained: Gives the present step, and what has been counted by then; None for ``optimizer``.
    """
    trained = optimizer if trained is None else trained
    now = step_of(trained)
    at = now if step is None else whole(step, "step", MultiplierError)
    shown = replace(
        plan,
        step=at,
        steps=tuple(whole(each, "steps", MultiplierError) for each in steps),
        counts=getattr(trained, "counts", {}) if at == now else {},
    )
    moving = None if learning_rate is not None else _moving_base(optimizer)
    if moving is None:
        if learning_rate is None:
            rate = float(ops.convert_to_numpy(optimizer.learning_rate))
        else:
            rate = number(learning_rate, "learning_rate", MultiplierError)
        return replace(shown, learning_rate=rate)
    whole_plan = Plan((), schedule=moving, separator=plan.separator)
    schedule = multiply_plans(whole_plan, replace(plan, rows=())).schedule
    return replace(shown, learning_rate=1.0, schedule=schedule)


def step_of(optimizer: Optimizer) -> int:
    """The updates that an optimizer has applied."""
    return int(ops.convert_to_numpy(optimizer.iterations))


def rates_now(plan: Plan) -> dict[str, float]:
    """Each variable's rate at the plan's step, by name; a name met again gets a number."""
    names = distinct(row.parameter.name for row in plan.rows)
    return dict(zip(names, plan.rates(plan.step).tolist(), strict=True))


def _moving_base(optimizer: Optimizer) -> Schedule | None:
    """The base rate as a schedule, if it is one."""
    rate = base_rate_of(optimizer)
    if isinstance(rate, LearningRateSchedule):
        return rate.schedule
    if isinstance(rate, keras.optimizers.schedules.LearningRateSchedule):
        # Keras counts batches here, this many for each update.
        batches = optimizer.gradient_accumulation_steps or 1

        def decay(step: int) -> float:
            return evaluate_on_host(rate, int(step) * batches)

        decay.__qualname__ = decay.__name__ = type(rate).__name__  # what a caption calls it
        return from_function(decay)
    return None
