"""Multipliers: rules say which parameter learns how fast; a plan shows it before training."""

from layerwise.multipliers._config import (
    rules_from_config,
    rules_to_config,
    value_from_config,
    value_to_config,
)
from layerwise.multipliers._depth.from_names import levels_from_names
from layerwise.multipliers._depth.regroup import blocks_joined, side_by_side
from layerwise.multipliers._levels import Layers, ModelLayers
from layerwise.multipliers._matching.exact_key import ExactKey
from layerwise.multipliers._names import (
    common_start,
    distinct,
    is_embedding,
    is_head,
    is_norm,
    numbered,
)
from layerwise.multipliers._objects import (
    KeyOf,
    has_objects,
    named_layers,
    named_rules,
    place_of,
)
from layerwise.multipliers._plan import Parameter, Plan, PlanRow, group_labels, multiply_plans
from layerwise.multipliers._resolve import resolve
from layerwise.multipliers._rules import Rules
from layerwise.multipliers._spec import RuleSpec
from layerwise.multipliers._stacked import Stacked, check_stacked
from layerwise.multipliers._strategies.by_depth import (
    discriminative,
    gradual_unfreezing,
    layer_decay,
)
from layerwise.multipliers._strategies.by_parameter import (
    Decided,
    Decision,
    ModelFacts,
    ParameterStrategy,
)
from layerwise.multipliers._strategies.lora_plus import lora_plus
from layerwise.multipliers._strategies.strategy import AnyStrategy, Strategy
from layerwise.multipliers._strategies.width_scaling import width_scaling
from layerwise.multipliers._values import (
    Override,
    StepValue,
    Value,
    check_value,
    first_value,
    may_be_0,
    moves,
    override,
    value_at,
    value_text,
)
from layerwise.multipliers._width_check import (
    Sizes,
    WidthCheck,
    WidthTrial,
    check_widths,
    measure_widths,
)

__all__ = [
    "AnyStrategy",
    "Decided",
    "Decision",
    "ExactKey",
    "KeyOf",
    "Layers",
    "ModelFacts",
    "ModelLayers",
    "Override",
    "Parameter",
    "ParameterStrategy",
    "Plan",
    "PlanRow",
    "RuleSpec",
    "Rules",
    "Sizes",
    "Stacked",
    "StepValue",
    "Strategy",
    "Value",
    "WidthCheck",
    "WidthTrial",
    "blocks_joined",
    "check_stacked",
    "check_value",
    "check_widths",
    "common_start",
    "discriminative",
    "distinct",
    "first_value",
    "gradual_unfreezing",
    "group_labels",
    "has_objects",
    "is_embedding",
    "is_head",
    "is_norm",
    "layer_decay",
    "levels_from_names",
    "lora_plus",
    "may_be_0",
    "measure_widths",
    "moves",
    "multiply_plans",
    "named_layers",
    "named_rules",
    "numbered",
    "override",
    "place_of",
    "resolve",
    "rules_from_config",
    "rules_to_config",
    "side_by_side",
    "value_at",
    "value_from_config",
    "value_text",
    "value_to_config",
    "width_scaling",
]
