"""Multipliers: rules say which parameter learns how fast; a plan shows it before training."""

from layerwise.multipliers._config import (
    rules_from_config,
    rules_to_config,
    value_from_config,
    value_to_config,
)
from layerwise.multipliers._group_names import distinct, group_labels
from layerwise.multipliers._levels import Layers, levels_from_names
from layerwise.multipliers._parameter import Parameter
from layerwise.multipliers._plan import Plan, PlanRow
from layerwise.multipliers._product import multiply_plans
from layerwise.multipliers._resolve import resolve
from layerwise.multipliers._rules import Rules
from layerwise.multipliers._strategies import (
    Strategy,
    discriminative,
    gradual_unfreezing,
    layer_decay,
)
from layerwise.multipliers._values import Override, Value, check_value, override

__all__ = [
    "Layers",
    "Override",
    "Parameter",
    "Plan",
    "PlanRow",
    "Rules",
    "Strategy",
    "Value",
    "check_value",
    "discriminative",
    "distinct",
    "gradual_unfreezing",
    "group_labels",
    "layer_decay",
    "levels_from_names",
    "multiply_plans",
    "override",
    "resolve",
    "rules_from_config",
    "rules_to_config",
    "value_from_config",
    "value_to_config",
]
