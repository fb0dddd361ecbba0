"""The same search for rates in plain PyTorch and in Optax, and what is given to all five."""

from typing import Any

import jax.numpy as jnp
import numpy as np
import optax
import torch

from layerwise.finder import RatesFinding
from layerwise.optax import find_rates as find_with_optax
from layerwise.torch import find_rates as find_with_torch
from tests._support.parity import task

OPTIMIZERS = ("sgd", "adam")
LEVELS = tuple(task.SIZES)
SEARCH: dict[str, Any] = {
    "budget": 400,
    "low": 1e-3,
    "high": 1.0,
    "layers": LEVELS,
    "rules": {"middle/bias": 0.5},
    "progress": False,
}


def few() -> list[tuple[np.ndarray, np.ndarray]]:
    """Data so small that it is divided in several ways."""
    return task.batches()[:8]


def with_torch(name: str) -> RatesFinding:
    """The search in PyTorch."""
    model = torch.nn.Sequential()
    for layer, (inputs, outputs) in task.SIZES.items():
        model.add_module(layer, torch.nn.Linear(inputs, outputs))
        if layer != "high":
            model.add_module(f"tanh_{layer}", torch.nn.Tanh())
    with torch.no_grad():
        for parameter, value in zip(model.parameters(), task.start(), strict=True):
            parameter.copy_(torch.tensor(value.T))
    adam: dict[str, Any] = {"betas": (task.BETA_1, task.BETA_2), "eps": task.EPSILON}
    optimizer: Any = (
        torch.optim.SGD(model.parameters(), lr=1.0)
        if name == "sgd"
        else torch.optim.Adam(model.parameters(), lr=1.0, **adam)
    )
    loader = [(torch.tensor(x), torch.tensor(y).long()) for x, y in few()]
    search = SEARCH | {"rules": {"middle.bias": 0.5}}
    return find_with_torch(model, optimizer, torch.nn.functional.cross_entropy, loader, **search)


def with_optax(name: str) -> RatesFinding:
    """The search in Optax."""
    start = iter(task.start())
    params = {
        layer: {"kernel": jnp.array(next(start)), "bias": jnp.array(next(start))}
        for layer in task.SIZES
    }

    def loss(params: Any, batch: Any) -> Any:
        x, y = batch
        for layer in task.SIZES:
            x = x @ params[layer]["kernel"] + params[layer]["bias"]
            x = x if layer == "high" else jnp.tanh(x)
        return optax.softmax_cross_entropy_with_integer_labels(x, y).mean()

    def adam(rate: Any) -> Any:
        return optax.adam(rate, b1=task.BETA_1, b2=task.BETA_2, eps=task.EPSILON)

    return find_with_optax(loss, params, few(), optax.sgd if name == "sgd" else adam, **SEARCH)
