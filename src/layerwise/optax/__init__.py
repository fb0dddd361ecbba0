"""Layerwise for Optax: a rate for every leaf, with plain JAX, Flax and Equinox parameters."""

from layerwise.optax._explain import explain
from layerwise.optax._order import layers_of
from layerwise.optax._rates import learning_rates
from layerwise.optax._scale import MultipliersState, scale_by_multipliers
from layerwise.optax._wrap import WithMultipliersState, with_multipliers

__all__ = [
    "MultipliersState",
    "WithMultipliersState",
    "explain",
    "layers_of",
    "learning_rates",
    "scale_by_multipliers",
    "with_multipliers",
]
