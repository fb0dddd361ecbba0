"""Layerwise for PyTorch: parameter groups from rules, and one scheduler in closed form."""

from layerwise.torch._explain import explain
from layerwise.torch._groups import ParamGroups, param_groups
from layerwise.torch._no_decay import biases_and_norms
from layerwise.torch._parameters import layers_of
from layerwise.torch._schedule_lr import ScheduleLR

__all__ = [
    "ParamGroups",
    "ScheduleLR",
    "biases_and_norms",
    "explain",
    "layers_of",
    "param_groups",
]
