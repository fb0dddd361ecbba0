"""PyTorch's built-in optimizers, and the parameters that each of them takes."""

from typing import Any

import torch

_OTHERS = {"Optimizer", "LBFGS"}  # not one of its own; takes one group only

OPTIMIZERS: dict[str, Any] = {
    name: kind
    for name, kind in sorted(vars(torch.optim).items())
    if isinstance(kind, type) and issubclass(kind, torch.optim.Optimizer) and name not in _OTHERS
}

LAYERS = ("low", "middle", "high")


def make_named(name: str, seed: int = 0) -> dict[str, torch.nn.Parameter]:
    """Three layers of two parameters each: a matrix and, except for Muon, a vector."""
    generator = torch.Generator().manual_seed(seed)
    shapes = ((4, 3), (3, 4)) if name == "Muon" else ((4, 3), (5,))
    return {
        f"{layer}.{kind}": torch.nn.Parameter(torch.randn(shape, generator=generator))
        for layer in LAYERS
        for kind, shape in zip(("weight", "bias"), shapes, strict=True)
    }


def set_gradients(name: str, named: dict[str, torch.nn.Parameter], step: int) -> None:
    generator = torch.Generator().manual_seed(500 + step)
    for parameter in named.values():
        gradient = torch.randn(parameter.shape, generator=generator)
        parameter.grad = gradient.to_sparse() if name == "SparseAdam" else gradient


def options_of(name: str, *, weight_decay: bool = True) -> dict[str, Any]:
    """Options that put every part of an optimizer to work."""
    options: dict[str, Any] = {"momentum": 0.9} if name in ("SGD", "RMSprop") else {}
    if weight_decay and name not in ("Rprop", "SparseAdam"):
        options["weight_decay"] = 0.1
    return options
