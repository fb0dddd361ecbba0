"""Schedules: pure functions of the step whose value is a factor on the learning rate."""

from layerwise.schedules._by_metric.decisions import PlateauDecisions, PlateauEvent
from layerwise.schedules._by_metric.on_plateau import (
    ByMetric,
    on_plateau,
    plateaus_in,
    reduce_on_plateau,
    replace_by_metric,
)
from layerwise.schedules._by_metric.plateau import PlateauState, plateau
from layerwise.schedules._clock import Clock
from layerwise.schedules._combine import product, then
from layerwise.schedules._counts import counters_of, counts_of_start, counts_updates
from layerwise.schedules._curve import is_closed_form, values_over
from layerwise.schedules._function import from_function
from layerwise.schedules._lowest import lower_bound, values_in_advance
from layerwise.schedules._modify import by, clamp, cut, delay, repeat, scale_steps, skip
from layerwise.schedules._schedule import Schedule
from layerwise.schedules._shapes.constants import constant, piecewise_constant
from layerwise.schedules._shapes.cycles import cosine_restarts, cyclic
from layerwise.schedules._shapes.decays import exponential, inverse_power, inverse_sqrt
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
from layerwise.schedules._together import values_together

__all__ = [
    "ByMetric",
    "Clock",
    "PlateauDecisions",
    "PlateauEvent",
    "PlateauState",
    "Schedule",
    "by",
    "clamp",
    "constant",
    "cosine",
    "cosine_restarts",
    "counters_of",
    "counts_of_start",
    "counts_updates",
    "cut",
    "cyclic",
    "delay",
    "exponential",
    "from_function",
    "hyperbolic_tangent",
    "inverse_power",
    "inverse_sqrt",
    "is_closed_form",
    "linear",
    "lower_bound",
    "on_plateau",
    "one_cycle",
    "piecewise_constant",
    "plateau",
    "plateaus_in",
    "polynomial",
    "product",
    "quarter_cosine",
    "reduce_on_plateau",
    "repeat",
    "replace_by_metric",
    "rex",
    "scale_steps",
    "skip",
    "then",
    "values_in_advance",
    "values_over",
    "values_together",
    "warmup",
    "warmup_stable_decay",
]
