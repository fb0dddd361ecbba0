"""What find_lr costs in PyTorch: a sweep of N updates, as a ratio to N plain training steps.

Both train the same network on the same batches; the plain loop reads each loss, as one that logs
does. They take turns, in an order that changes every round, and the ratio is taken within each
round. Run it on an idle machine:

    python benchmarks/finder_overhead_torch.py
"""

import argparse
import statistics
import time
from typing import Any

import torch
from torch import nn

from layerwise.torch import find_lr

BATCH = 64


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


def seconds(function: Any, *args: Any, **options: Any) -> float:
    start = time.perf_counter()
    function(*args, **options)
    return time.perf_counter() - start


def ratios(width: int, depth: int, rounds: int, steps: int) -> list[float]:
    model, optimizer, batches = make(width, depth)
    loss = nn.CrossEntropyLoss()
    options = {"method": "sweep", "stop": "never", "high": 1e-2, "progress": False}
    plain(model, optimizer, loss, batches, steps)
    found = []
    for number in range(rounds):
        parts = {}
        for which in ("plain", "ours") if number % 2 else ("ours", "plain"):
            if which == "plain":
                parts[which] = seconds(plain, model, optimizer, loss, batches, steps)
            else:
                parts[which] = seconds(
                    find_lr, model, optimizer, loss, batches, steps=steps, **options
                )
        found.append(parts["ours"] / parts["plain"])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--steps", type=int, default=100)
    arguments = parser.parse_args()
    for width, depth in ((64, 4), (256, 8), (512, 16)):
        found = ratios(width, depth, arguments.rounds, arguments.steps)
        low, middle, high = statistics.quantiles(found, n=4)
        print(f"{depth} layers of {width}: {middle:.3f} (quartiles {low:.3f} to {high:.3f})")


if __name__ == "__main__":
    main()
