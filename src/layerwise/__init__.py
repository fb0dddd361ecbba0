"""Layerwise: a learning rate for every layer, and a schedule for every rate.

The names that rules and schedules are written with are here; the others are in
``layerwise.schedules``, ``layerwise.multipliers`` and ``layerwise.errors``. What belongs to a
framework is imported from a package of its own, such as ``from layerwise.keras import
LRMultiplier``.
"""

from importlib.metadata import version as _version

from layerwise.errors import (
    AmbiguousRuleError,
    ConfigError,
    FinderError,
    LayerwiseError,
    MultiplierError,
    OptimizerError,
    RecorderError,
    ScheduleError,
    UnmatchedRuleError,
)
from layerwise.finder import LRFinding, RatesFinding
from layerwise.multipliers import (
    Plan,
    Strategy,
    discriminative,
    gradual_unfreezing,
    layer_decay,
    lora_plus,
    override,
    side_by_side,
    width_scaling,
)
from layerwise.recorder import History, Recorder
from layerwise.schedules import (
    Schedule,
    constant,
    cosine,
    cosine_restarts,
    cyclic,
    exponential,
    from_function,
    hyperbolic_tangent,
    inverse_power,
    inverse_sqrt,
    linear,
    on_plateau,
    one_cycle,
    piecewise_constant,
    plateau,
    polynomial,
    quarter_cosine,
    reduce_on_plateau,
    rex,
    warmup,
    warmup_stable_decay,
)

__all__ = [
    "AmbiguousRuleError",
    "ConfigError",
    "FinderError",
    "History",
    "LRFinding",
    "LayerwiseError",
    "MultiplierError",
    "OptimizerError",
    "Plan",
    "RatesFinding",
    "Recorder",
    "RecorderError",
    "Schedule",
    "ScheduleError",
    "Strategy",
    "UnmatchedRuleError",
    "__version__",
    "constant",
    "cosine",
    "cosine_restarts",
    "cyclic",
    "discriminative",
    "exponential",
    "from_function",
    "gradual_unfreezing",
    "hyperbolic_tangent",
    "inverse_power",
    "inverse_sqrt",
    "layer_decay",
    "linear",
    "lora_plus",
    "on_plateau",
    "one_cycle",
    "override",
    "piecewise_constant",
    "plateau",
    "polynomial",
    "quarter_cosine",
    "reduce_on_plateau",
    "rex",
    "side_by_side",
    "warmup",
    "warmup_stable_decay",
    "width_scaling",
]

__version__ = _version("layerwise")
