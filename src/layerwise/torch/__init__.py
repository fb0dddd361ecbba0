"""Layerwise for PyTorch: parameter groups from rules, one scheduler, and a rate to start from."""

from layerwise.torch._explain import explain
from layerwise.torch._find_lr import find_lr
from layerwise.torch._groups import ParamGroups, param_groups
from layerwise.torch._no_decay import biases_and_norms
from layerwise.torch._parameters import layers_of
from layerwise.torch._recorder import Recorder
from layerwise.torch._schedule_lr import ScheduleLR

__all__ = [
    "ParamGroups",
    "Recorder",
    "ScheduleLR",
    "biases_and_norms",
    "explain",
    "find_lr",
    "layers_of",
    "param_groups",
]
