"""Schedules: pure functions of the step that give a factor on the learning rate."""

from layerwise.schedules._clock import Clock
from layerwise.schedules._combine import product, then
from layerwise.schedules._config import from_config, to_config
from layerwise.schedules._curve import is_closed_form, values_over
from layerwise.schedules._function import from_function
from layerwise.schedules._modify import clamp, cut, delay, repeat, scale_steps
from layerwise.schedules._schedule import Schedule
from layerwise.schedules._shapes.cyclic import cyclic
from layerwise.schedules._shapes.one_cycle import one_cycle
from layerwise.schedules._shapes.ramps import cosine, linear, polynomial, warmup
from layerwise.schedules._shapes.restarts import cosine_restarts
from layerwise.schedules._shapes.simple import (
    constant,
    exponential,
    inverse_sqrt,
    piecewise_constant,
)
from layerwise.schedules._shapes.warmup_stable_decay import warmup_stable_decay

__all__ = [
    "Clock",
    "Schedule",
    "clamp",
    "constant",
    "cosine",
    "cosine_restarts",
    "cut",
    "cyclic",
    "delay",
    "exponential",
    "from_config",
    "from_function",
    "inverse_sqrt",
    "is_closed_form",
    "linear",
    "one_cycle",
    "piecewise_constant",
    "polynomial",
    "product",
    "repeat",
    "scale_steps",
    "then",
    "to_config",
    "values_over",
    "warmup",
    "warmup_stable_decay",
]
