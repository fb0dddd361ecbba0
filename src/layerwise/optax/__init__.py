"""Layerwise for Optax: a rate for every leaf, and one to start from; JAX, Flax and Equinox."""

from layerwise.optax._check_width import check_width_scaling
from layerwise.optax._explain import explain
from layerwise.optax._finder.find_lr import find_lr
from layerwise.optax._finder.find_rates import find_rates
from layerwise.optax._layer_order import layers_of
from layerwise.optax._objects import key_of
from layerwise.optax._transforms.add_decayed_weights import DecayState, add_decayed_weights
from layerwise.optax._transforms.carry_state import carry_state
from layerwise.optax._transforms.learning_rates import learning_rates
from layerwise.optax._transforms.scale_by_multipliers import MultipliersState, scale_by_multipliers
from layerwise.optax._transforms.with_multipliers import WithMultipliersState, with_multipliers

__all__ = [
    "DecayState",
    "MultipliersState",
    "WithMultipliersState",
    "add_decayed_weights",
    "carry_state",
    "check_width_scaling",
    "explain",
    "find_lr",
    "find_rates",
    "key_of",
    "layers_of",
    "learning_rates",
    "scale_by_multipliers",
    "with_multipliers",
]
