"""How low a schedule may get, without computing it at every step."""

import math

import numpy as np
import numpy.typing as npt

from layerwise.schedules._by_metric.on_plateau import by_metric_in
from layerwise.schedules._combine import product, then
from layerwise.schedules._curve import is_closed_form
from layerwise.schedules._modify import by, clamp, cut, delay, repeat, scale_steps, skip
from layerwise.schedules._schedule import Schedule, is_built_in
from layerwise.schedules._shapes.constants import constant, piecewise_constant
from layerwise.schedules._shapes.cycles import cosine_restarts, cyclic
from layerwise.schedules._shapes.phases import one_cycle, warmup_stable_decay
from layerwise.schedules._shapes.ramps import (
    cosine,
    hyperbolic_tangent,
    linear,
    polynomial,
    quarter_cosine,
    rex,
    warmup,
)

_FEW_STEPS = 2**22

# Each value of these lies between two of 1 and the fields: it is a mean of them, with weights.
_MEANS = (
    linear, warmup, cosine, quarter_cosine, rex, hyperbolic_tangent, polynomial, one_cycle,
    warmup_stable_decay, cosine_restarts,
)  # fmt: skip
_FIELDS = ("start", "end", "peak")


def lower_bound(schedule: Schedule) -> float:
    """A number that the schedule is never below, except by rounding; 0 where none is known.

    Args:
        schedule: Any schedule. Nothing is computed.

    Examples:
        >>> from layerwise.schedules import cosine, inverse_sqrt, lower_bound, warmup
        >>> lower_bound(warmup(5, start=0.5) >> cosine(10**9, end=0.1) * 0.5)
        0.05
        >>> lower_bound(inverse_sqrt(100))
        0.0
    """
    return _lowest(schedule) if is_built_in(schedule) else 0.0


def values_in_advance(value: object) -> npt.NDArray[np.float64] | None:
    """All the values that a schedule ever has; None if they can't be known ahead.

    Args:
        value: A number, a schedule, or a callable of the step. What a user's function or class, or
            a metric, decides can't be known ahead.

    Examples:
        >>> from layerwise.schedules import inverse_sqrt, linear, values_in_advance
        >>> values_in_advance(linear(4)).tolist()
        [1.0, 0.75, 0.5, 0.25, 0.0]
        >>> values_in_advance(inverse_sqrt(4)) is None
        True
    """
    if not isinstance(value, Schedule) or value.length is None or value.length > _FEW_STEPS:
        return None
    if value.counters or not (is_closed_form(value) and is_built_in(value)) or by_metric_in(value):
        return None
    return value(np.arange(value.length + 1))  # steps are whole


def _lowest(schedule: Schedule) -> float:
    match schedule:
        case constant():
            return schedule.value
        case piecewise_constant():
            return min(schedule.values)
        case cyclic() if schedule.gamma <= 1.0:  # peaks that grow round the low values away
            return schedule.low
        case cosine_restarts() if schedule.peak_decay > 1.0:
            return 0.0
        case then():
            return min(map(_lowest, schedule.parts))
        case product():
            return schedule.factor * math.prod(map(_lowest, schedule.schedules))
        case clamp():
            low = max(_lowest(schedule.schedule), schedule.low or 0.0)
            return low if schedule.high is None else min(low, schedule.high)
        case repeat() if schedule.decay != 1.0:
            return 0.0
        case by() | cut() | delay() | repeat() | scale_steps() | skip():
            return _lowest(schedule.schedule)
    if isinstance(schedule, _MEANS):
        given = [getattr(schedule, name, None) for name in _FIELDS]
        return float(min([1.0, *(value for value in given if value is not None)]))
    return 0.0
