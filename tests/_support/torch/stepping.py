"""Runs of an optimizer over several groups, to be compared with PyTorch's class bit by bit."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

SHAPES = ((3, 2), (4,), (2, 3), (5, 1), (1,), (3, 3))
RATES = (0.01, 0.02, 0.03)
DECAYS = (0.0, 0.1, 0.01)

VARIANTS: dict[str, tuple[dict[str, Any], ...]] = {
    "SGD": (
        {},
        {"momentum": 0.9},
        {"momentum": 0.9, "nesterov": True},
        {"momentum": 0.9, "dampening": 0.3},
    ),
    "Adam": ({}, {"amsgrad": True}, {"decoupled_weight_decay": True}),
    "AdamW": ({}, {"amsgrad": True, "betas": (0.5, 0.9)}),
    "RMSprop": ({}, {"momentum": 0.5}, {"centered": True}, {"centered": True, "momentum": 0.5}),
    "NAdam": ({}, {"decoupled_weight_decay": True, "momentum_decay": 0.1}),
    "RAdam": ({}, {"decoupled_weight_decay": True, "betas": (0.9, 0.9)}),
    "Adagrad": ({}, {"lr_decay": 0.1}, {"initial_accumulator_value": 0.1}),
}
"""Each class with the options that change what it computes."""

FUSED = ("SGD", "Adam", "AdamW", "Adagrad")


def parameters(dtypes: Sequence[torch.dtype] = (torch.float32,)) -> list[Tensor]:
    """Equal parameters each time, of the shapes above."""
    generator = torch.Generator().manual_seed(0)
    return [
        torch.nn.Parameter(torch.randn(shape, generator=generator).to(dtypes[i % len(dtypes)]))
        for i, shape in enumerate(SHAPES)
    ]


def groups_of(tensors: Sequence[Tensor], **more: Sequence[Any]) -> list[dict[str, Any]]:
    """Three groups that differ in rate and weight decay, and in what else is given for each."""
    return [
        {
            "params": list(tensors[place::3]),
            "lr": RATES[place],
            "weight_decay": DECAYS[place],
            **{key: values[place] for key, values in more.items()},
        }
        for place in range(3)
    ]


def take_steps(
    optimizer: Any, steps: range, change: Callable[[Any, int], None] | None = None
) -> None:
    """Steps with gradients that depend on nothing but the step; rates fall all the time.

    From the second step on, one parameter after the other has no gradient.
    """
    tensors = [p for group in optimizer.param_groups for p in group["params"]]
    for step in steps:
        generator = torch.Generator().manual_seed(step)
        for place, tensor in enumerate(tensors):
            noise = torch.randn(tensor.shape, generator=generator).to(tensor.dtype)
            tensor.grad = None if step and (step + place) % 5 == 0 else noise
        for group in optimizer.param_groups:
            group["lr"] *= 0.97
        if change is not None:
            change(optimizer, step)
        optimizer.step()


def everything(optimizer: Any) -> list[Tensor]:
    """All parameters and all state tensors, in order."""
    found = []
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            state = optimizer.state.get(parameter, {})
            found += [parameter.detach(), *(state[key] for key in sorted(state))]
    return [tensor for tensor in found if tensor is not None]


def same_bits(first: Any, second: Any) -> bool:
    """Whether two optimizers have the same parameters and states, to the last bit."""
    pairs = list(zip(everything(first), everything(second), strict=True))
    return all(a.dtype == b.dtype and torch.equal(a, b) for a, b in pairs)
