"""A training: rates by rules, a cosine to 0, and what the network is worth afterwards."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.optim import Adam, Optimizer

from layerwise import cosine
from layerwise.multipliers import Rules
from layerwise.torch import ScheduleLR, param_groups

from ._task import Draw, Examples

OPTIMIZERS: dict[str, Callable[[Any], Optimizer]] = {
    "adam": lambda groups: Adam(groups, fused=True),
}


@dataclass(frozen=True)
class Trained:
    """What a training ends with.

    Attributes:
        test_loss: The mean cross-entropy on the test set; infinite if it is no number.
        test_accuracy: The share of right answers there.
        train_loss: The mean of the last tenth of the batches' losses.
    """

    test_loss: float
    test_accuracy: float
    train_loss: float


def train(
    draw: Draw,
    rules: Rules | None,
    lr: float,
    updates: int | None = None,
    optimizer: str = "adam",
) -> Trained:
    """Train a draw's network on its few labels, and test it.

    Args:
        draw: The network and the data.
        rules: What ``param_groups`` takes.
        lr: The base rate.
        updates: How many; by default the task's.
        optimizer: Its name in ``OPTIMIZERS``.
    """
    model = draw.model()
    updates = updates or draw.task.updates
    groups = param_groups(model, rules, lr=lr, layers=draw.levels)
    algorithm = OPTIMIZERS[optimizer](groups)
    scheduler = ScheduleLR(algorithm, cosine(updates))
    losses = run(model, algorithm, draw.loss, draw.batches(0, updates), scheduler.step)
    return tested(draw, model, losses)


def run(
    model: nn.Module,
    optimizer: Optimizer,
    loss: Callable[..., Any],
    batches: Iterable[Examples],
    after: Callable[[], object] = lambda: None,
) -> list[float]:
    """Update on each batch, and give the batches' losses.

    Args:
        model: The network, in training mode from now on.
        optimizer: It has the model's parameters.
        loss: Of outputs and labels.
        batches: Inputs and labels.
        after: Called after each update.
    """
    model.train()
    losses = []
    for x, y in batches:
        value = loss(model(x), y)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        after()
        losses.append(value.detach())
    return torch.stack(losses).tolist()


def tested(draw: Draw, model: nn.Module, losses: list[float]) -> Trained:
    """What a network is worth, and the end of its training."""
    loss, accuracy = scores(draw, model, draw.test)
    last = losses[-max(len(losses) // 10, 1) :]
    return Trained(loss, accuracy, sum(last) / len(last))


@torch.no_grad()
def scores(
    draw: Draw, model: nn.Module, examples: Examples, at_once: int = 256
) -> tuple[float, float]:
    """Mean loss and accuracy on examples, in evaluation mode."""
    model.eval()
    total, right = 0.0, 0
    for x, y in zip(examples.x.split(at_once), examples.y.split(at_once), strict=True):
        outputs = model(x)
        total += float(draw.loss(outputs, y)) * len(y)
        right += int((outputs.argmax(-1) == y).sum())
    loss = total / len(examples.y)
    return (loss if math.isfinite(loss) else math.inf), right / examples.y.numel()
