"""Auto-RGN: layers learn as fast as their gradients are large beside their weights.

Source: Lee et al., "Surgical Fine-Tuning Improves Adaptation to Distribution Shifts" (ICLR 2023).
Their program measures at each pass through the data, on up to five batches, and makes a new Adam
each time. A pass takes few updates here, so that Adam keeps its moments; and a weight and its bias
count together, as a bias may be 0.
"""

from collections.abc import Sequence

import torch
from torch import nn
from torch.optim import Adam

from layerwise import cosine

from ._task import Draw, Examples
from ._training import Trained, run, tested

_BATCHES = 5


def relative_norms(draw: Draw, model: nn.Module, batches: Sequence[Examples]) -> dict[str, float]:
    """Each parameter's multiplier: its layer's gradient norm over its norm; the largest is 1."""
    named = dict(model.named_parameters())
    layers: dict[str, list[str]] = {}
    for name in named:
        layers.setdefault(name.rpartition(".")[0] or name, []).append(name)
    totals = dict.fromkeys(layers, 0.0)
    model.train()
    for x, y in batches[:_BATCHES]:
        loss = draw.loss(model(x), y)
        grads = dict(zip(named, torch.autograd.grad(loss, list(named.values())), strict=True))
        for layer, names in layers.items():
            gradient = sum(float(grads[name].square().sum()) for name in names)
            weight = sum(float(named[name].detach().square().sum()) for name in names)
            totals[layer] += (gradient / weight) ** 0.5
    top = max(totals.values())
    return {name: totals[layer] / top for layer, names in layers.items() for name in names}


def train_by_norms(draw: Draw, lr: float) -> Trained:
    """Train with Adam and a cosine; the multipliers are measured anew at each pass."""
    model, updates = draw.model(), draw.task.updates
    groups = [{"params": [p], "name": name} for name, p in model.named_parameters()]
    optimizer = Adam(groups, lr=lr, fused=True)
    schedule = cosine(updates)
    batches = draw.batches(0)
    per_pass = max(len(draw.train.y) // draw.task.batch_size, 1)
    losses = []
    for first in range(0, updates, per_pass):
        some = batches[first : first + per_pass]
        factors = relative_norms(draw, model, some)
        for number, batch in enumerate(some, first):
            for group in optimizer.param_groups:
                group["lr"] = lr * factors[group["name"]] * float(schedule(number))
            losses += run(model, optimizer, draw.loss, [batch])
    return tested(draw, model, losses)
