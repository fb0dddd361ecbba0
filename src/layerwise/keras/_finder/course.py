"""The course of the training that a compiled model is going to have, read from its optimizer."""

from functools import cache

import keras

from layerwise.finder import relative_course
from layerwise.keras._internals.optimizer import (
    base_rate_of,
    batch_count,
    batches_per_update,
    inner_optimizer,
)
from layerwise.keras._internals.values import number_in
from layerwise.keras._optimizer.lr_multiplier import LRMultiplier, specs_of
from layerwise.keras._optimizer.step_values import evaluate_on_host, prepared
from layerwise.keras._schedule import LearningRateSchedule
from layerwise.multipliers import StepValue
from layerwise.schedules import Schedule, from_function


def course_of(model: keras.Model, horizon: int | None = None) -> Schedule | None:
    """How the rate goes from now on, by update, as a factor on the base rate.

    Where a schedule is the learning rate itself, the base rate is its highest value.

    Args:
        model: A compiled model, whose optimizer has one base rate.
        horizon: The number of updates of the training to come, if it is known.

    Returns:
        The schedule of the optimizer, times the common schedules of an ``LRMultiplier``; None if
        there is none of these.
    """
    optimizer = model.optimizer
    inner, per_update = inner_optimizer(optimizer), batches_per_update(optimizer)
    now = int(number_in(batch_count(optimizer))) // per_update
    parts: list[tuple[str, Schedule]] = []
    rate = base_rate_of(optimizer)
    if isinstance(rate, keras.optimizers.schedules.LearningRateSchedule):
        ours = isinstance(rate, LearningRateSchedule)
        name = repr(rate.schedule) if ours else type(rate).__name__
        until = None if horizon is None else now + horizon
        parts.append((name, relative_course(_by_update(rate, per_update), until)))
    if isinstance(inner, LRMultiplier):
        common = [spec.schedule for spec in specs_of(inner) if spec.schedule is not None]
        parts += map(_named, common)
    if not parts:
        return None
    every = tuple(part for _, part in parts)
    counting = next((part for part in every if part.counters), None)
    if counting is not None:
        return counting  # updates can't stand for what it counts, as the search will say
    if now == 0 and len(every) == 1 and not isinstance(every[0], from_function):
        return every[0]

    @cache
    def factor(step: int) -> float:
        product = 1.0
        for part in every:
            product *= float(part(int(step) + now))
        return product

    return from_function(factor, name=f"the optimizer's {' * '.join(name for name, _ in parts)}")


def _by_update(
    rate: keras.optimizers.schedules.LearningRateSchedule, per_update: int
) -> from_function:
    """A schedule of Keras, which counts batches also where several of them make one update."""
    return from_function(cache(lambda step: evaluate_on_host(rate, int(step) * per_update)))


def _named(schedule: StepValue) -> tuple[str, Schedule]:
    if isinstance(schedule, Schedule):
        return repr(schedule), schedule
    function = prepared(schedule, "The schedule")
    made = from_function(cache(lambda step: evaluate_on_host(function, int(step))))
    return getattr(schedule, "__name__", type(schedule).__name__), made
