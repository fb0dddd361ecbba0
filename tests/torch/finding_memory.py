"""Trains a network with PyTorch, searches with it, and reports the memory of both.

python -m tests.torch.finding_memory GRADIENTS, which are "cleared" before the search, or "left"
"""

import sys
from typing import Any

import torch
from torch import nn

from layerwise.torch import find_lr
from tests.memory import LAYERS, WIDTH, forget_peak, peak, report_memory, torch_arrays


def main(gradients: str) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(*[nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(LAYERS)])
    optimizer = torch.optim.Adam(model.parameters())
    loss = nn.functional.mse_loss
    batches = [(x, x) for x in torch.randn(4, 4, WIDTH)]
    trained: list[int] = []
    searched: list[int] = []

    def train() -> None:
        for x, y in batches:
            optimizer.zero_grad()
            loss(model(x), y).backward()
            optimizer.step()
            trained.append(torch_arrays())

    train()
    forget_peak()
    train()
    plain = peak()
    if gradients == "cleared":
        optimizer.zero_grad()

    def watch(smoothed: Any) -> bool:
        if len(smoothed) % 7 == 0:
            searched.append(torch_arrays())
        return False

    forget_peak()
    found = find_lr(
        model, optimizer, loss, batches, steps=21, high=1e-3, stop=watch, progress=False
    )
    report_memory(
        plain=plain,
        search=peak(),
        arrays=(max(trained), max(searched)),
        probes=len(found.probes),
    )


if __name__ == "__main__":
    main(sys.argv[1])
