"""Layerwise for PyTorch: parameter groups from rules, one scheduler, and a rate to start from."""

from layerwise.torch._check_width import check_width_scaling
from layerwise.torch._depth.layers_of import layers_of
from layerwise.torch._explain import explain
from layerwise.torch._finder.find_lr import find_lr
from layerwise.torch._finder.find_rates import find_rates
from layerwise.torch._groups.chosen_parameters import hidden_matrices
from layerwise.torch._groups.no_decay import biases_and_norms
from layerwise.torch._groups.param_groups import ParamGroups, param_groups
from layerwise.torch._optimizer.load_optimizer_state import load_optimizer_state
from layerwise.torch._recorder.recorder import Recorder
from layerwise.torch._scheduler.schedule_lr import ScheduleLR

__all__ = [
    "ParamGroups",
    "Recorder",
    "ScheduleLR",
    "biases_and_norms",
    "check_width_scaling",
    "explain",
    "find_lr",
    "find_rates",
    "hidden_matrices",
    "layers_of",
    "load_optimizer_state",
    "param_groups",
]
