"""Layerwise for Optax: a rate for every leaf, and one to start from; JAX, Flax and Equinox."""

from layerwise.optax._explain import explain
from layerwise.optax._finder.find_lr import find_lr
from layerwise.optax._finder.find_rates import find_rates
from layerwise.optax._layer_order import layers_of
from layerwise.optax._transforms.carry_state import carry_state
from layerwise.optax._transforms.learning_rates import learning_rates
from layerwise.optax._transforms.scale_by_multipliers import MultipliersState, scale_by_multipliers
from layerwise.optax._transforms.with_multipliers import WithMultipliersState, with_multipliers

__all__ = [
    "MultipliersState",
    "WithMultipliersState",
    "carry_state",
    "explain",
    "find_lr",
    "find_rates",
    "layers_of",
    "learning_rates",
    "scale_by_multipliers",
    "with_multipliers",
]
