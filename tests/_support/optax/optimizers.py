"""Optax' optimizers whose update is proportional to the rate, as the tests make them."""

from collections.abc import Callable
from functools import partial
from typing import Any

import optax

Factory = Callable[..., Any]

# Rates at which each moves weights of order one visibly within a few steps.
OPTIMIZERS: dict[str, tuple[Factory, float]] = {
    "sgd": (optax.sgd, 0.1),
    "sgd-momentum": (partial(optax.sgd, momentum=0.9), 0.1),
    "sgd-nesterov": (partial(optax.sgd, momentum=0.9, nesterov=True), 0.1),
    "adam": (optax.adam, 0.01),
    "adamw": (partial(optax.adamw, weight_decay=0.1), 0.01),
    "amsgrad": (optax.amsgrad, 0.01),
    "nadam": (optax.nadam, 0.01),
    "radam": (optax.radam, 0.01),
    "adabelief": (optax.adabelief, 0.01),
    "adamax": (optax.adamax, 0.01),
    "adan": (partial(optax.adan, weight_decay=0.1), 0.01),
    "yogi": (optax.yogi, 0.01),
    "rmsprop": (optax.rmsprop, 0.01),
    "rmsprop-momentum": (partial(optax.rmsprop, momentum=0.9, centered=True), 0.01),
    "adagrad": (optax.adagrad, 0.1),
    "adadelta": (partial(optax.adadelta, weight_decay=0.1), 1.0),
    "adafactor": (partial(optax.adafactor, min_dim_size_to_factor=2, momentum=0.9), 0.05),
    "lion": (partial(optax.lion, weight_decay=0.1), 0.01),
    "lamb": (partial(optax.lamb, weight_decay=0.1), 0.01),
    "lars": (partial(optax.lars, weight_decay=0.1), 0.1),
    "novograd": (partial(optax.novograd, weight_decay=0.1), 0.01),
    "sm3": (optax.sm3, 0.1),
    "sign-sgd": (optax.sign_sgd, 0.01),
}
# Its iteration is one compiled loop, which rounds differently with a rate inside of it or not.
COMPILED: dict[str, tuple[Factory, float]] = {}
if hasattr(optax.contrib, "muon"):  # Optax 0.2.4 has none
    COMPILED["muon"] = (optax.contrib.muon, 0.01)

# What goes on after the rate has been applied: exact for multipliers that do not move.
MOMENTUM_AFTER_RATE = {"rmsprop-momentum", "adafactor", "lars"}


def make(name: str, factor: Any = 1.0) -> Any:
    """The named optimizer at its rate times a factor; a power of two keeps it exact."""
    factory, rate = (OPTIMIZERS | COMPILED)[name]
    if callable(factor):
        return factory(lambda count: rate * factor(count))
    return factory(rate * factor)
