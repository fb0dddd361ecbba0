"""What find_lr costs in PyTorch: a sweep of N updates, as a ratio to N plain training steps.

Both train the same network on the same batches; the plain loop reads each loss, as one that logs
does. They take turns, in an order that changes every round, and the ratio is taken within each
round. Run it on an idle machine:

    python benchmarks/finder_overhead_torch.py
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import _interleaved
import torch
from torch import nn

from layerwise.torch import find_lr

BATCH = 64
OPTIONS = {"method": "sweep", "stop": "never", "high": 1e-2, "progress": False}


def make(width: int, depth: int) -> tuple[Any, Any, list[Any]]:
    torch.manual_seed(0)
    layers = [layer for _ in range(depth) for layer in (nn.Linear(width, width), nn.ReLU())]
    model = nn.Sequential(*layers, nn.Linear(width, 10))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    batches = [(torch.randn(BATCH, width), torch.randint(10, (BATCH,))) for _ in range(16)]
    return model, optimizer, batches


def plain(model: Any, optimizer: Any, loss: Any, batches: list[Any], steps: int) -> None:
    for number in range(steps):
        inputs, targets = batches[number % len(batches)]
        optimizer.zero_grad()
        value = loss(model(inputs), targets)
        value.backward()
        optimizer.step()
        value.item()


def ways(width: int, depth: int, steps: int) -> dict[str, Callable[[], Any]]:
    model, optimizer, batches = make(width, depth)
    loss = nn.CrossEntropyLoss()
    return {
        "ours": partial(find_lr, model, optimizer, loss, batches, steps=steps, **OPTIONS),
        "plain": partial(plain, model, optimizer, loss, batches, steps),
    }


if __name__ == "__main__":
    _interleaved.sweeps(ways, __doc__)
