"""The same training in plain PyTorch and in Optax."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import torch

from layerwise.optax import scale_by_multipliers
from layerwise.torch import ScheduleLR, param_groups
from tests._support.parity import task


def with_torch(name: str) -> list[np.ndarray]:
    """Each weight at every step under PyTorch, in Keras' layout."""
    model = torch.nn.Sequential()
    for layer, (inputs, outputs) in task.SIZES.items():
        model.add_module(layer, torch.nn.Linear(inputs, outputs))
        if layer != "high":
            model.add_module(f"tanh_{layer}", torch.nn.Tanh())
    with torch.no_grad():
        for parameter, value in zip(model.parameters(), task.start(), strict=True):
            parameter.copy_(torch.tensor(value.T))
    rate = task.RATES[name]
    groups = param_groups(model, task.RULES, lr=rate)
    adam = {"betas": (task.BETA_1, task.BETA_2), "eps": task.EPSILON}
    momentum = None
    if name == "sgd":
        optimizer: Any = torch.optim.SGD(groups, momentum=task.MOMENTUM)
        momentum = _momentum_of_keras
    elif name == "adam":
        optimizer = torch.optim.Adam(groups, **adam)
    else:
        optimizer = torch.optim.AdamW(groups, weight_decay=task.DECAY, **adam)
    scheduler = ScheduleLR(optimizer, task.SCHEDULE, momentum=momentum)
    steps = []
    for x, y in task.batches():
        optimizer.zero_grad()
        logits = model(torch.tensor(x))
        torch.nn.functional.cross_entropy(logits, torch.tensor(y).long()).backward()
        optimizer.step()
        scheduler.step()
        steps.append([p.detach().numpy().T.copy() for p in model.parameters()])
    return [np.stack(weights) for weights in zip(*steps, strict=True)]


def _momentum_of_keras(step: int) -> float:
    """The momentum of accumulated gradients that equals one of accumulated updates."""
    if step == 0:
        return task.MOMENTUM  # nothing has been accumulated
    return task.MOMENTUM * task.SCHEDULE(step - 1) / task.SCHEDULE(step)


def with_optax(name: str) -> list[np.ndarray]:
    """Each weight at every step under Optax."""
    start = iter(task.start())
    params = {
        layer: {"kernel": jnp.array(next(start)), "bias": jnp.array(next(start))}
        for layer in task.SIZES
    }
    rate = task.RATES[name]
    adam = {"b1": task.BETA_1, "b2": task.BETA_2, "eps": task.EPSILON}
    multipliers = scale_by_multipliers(task.RULES, schedule=task.SCHEDULE)
    optimizer = {
        "sgd": lambda: optax.chain(
            optax.scale_by_learning_rate(rate), multipliers, optax.trace(task.MOMENTUM)
        ),
        "adam": lambda: optax.chain(optax.adam(rate, **adam), multipliers),
        "adamw": lambda: optax.chain(
            optax.adamw(rate, weight_decay=task.DECAY, **adam), multipliers
        ),
    }[name]()

    def loss(params: Any, x: Any, y: Any) -> Any:
        for layer in task.SIZES:
            x = x @ params[layer]["kernel"] + params[layer]["bias"]
            x = x if layer == "high" else jnp.tanh(x)
        return optax.softmax_cross_entropy_with_integer_labels(x, y).mean()

    @jax.jit
    def step(params: Any, state: Any, x: Any, y: Any) -> Any:
        updates, state = optimizer.update(jax.grad(loss)(params, x, y), state, params)
        return optax.apply_updates(params, updates), state

    state = optimizer.init(params)
    steps = []
    for x, y in task.batches():
        params, state = step(params, state, x, y)
        steps.append(
            [np.array(params[layer][kind]) for layer in task.SIZES for kind in ("kernel", "bias")]
        )
    return [np.stack(weights) for weights in zip(*steps, strict=True)]
