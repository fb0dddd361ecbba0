"""Trains a network with PyTorch, searches with it, and reports the memory of both.

python -m tests._scripts.torch_finding_memory GRADIENTS: "cleared" before the search, or "left"
"""

import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from layerwise.finder import LRFinding
from layerwise.torch import find_lr
from tests._support.memory import LAYERS, WIDTH, compare, torch_arrays


def main(gradients: str) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(*[nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(LAYERS)])
    optimizer = torch.optim.Adam(model.parameters())
    loss = nn.functional.mse_loss
    batches = [(x, x) for x in torch.randn(4, 4, WIDTH)]

    def train(seen: Callable[[], None]) -> None:
        for x, y in batches:
            optimizer.zero_grad()
            loss(model(x), y).backward()
            optimizer.step()
            seen()

    def search(stop: Any) -> LRFinding:
        if gradients == "cleared":
            optimizer.zero_grad()
        options: dict[str, Any] = {"steps": 21, "high": 1e-3, "progress": False}
        return find_lr(model, optimizer, loss, batches, stop=stop, **options)

    compare(train, search, torch_arrays)


if __name__ == "__main__":
    main(sys.argv[1])
