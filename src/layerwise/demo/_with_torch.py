"""The demo's network in plain PyTorch."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from layerwise.demo._digits import Digits
from layerwise.demo._network import BACKBONE, BATCH, HEAD, Layer, Weights, in_batches, weight_shapes
from layerwise.multipliers import Plan, Rules
from layerwise.schedules import cosine
from layerwise.torch import ScheduleLR, explain, param_groups

EPSILON = 1e-7  # as in Keras


class _ChannelsLast(nn.Module):
    """Flattens as Keras does, which has channels last."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.permute(0, 2, 3, 1).flatten(1)


def network(weights: Weights) -> nn.Module:
    """A backbone of three strided convolutions and a dense layer, and a head."""
    parts: OrderedDict[str, nn.Module] = OrderedDict()
    for layer in BACKBONE:
        if layer.convolves:
            # Keras pads an even side at its end, where a stride of 2 leaves one over.
            parts[f"pad_{layer.name}"] = nn.ZeroPad2d((0, 1, 0, 1))
        else:
            parts["flatten"] = _ChannelsLast()
        parts[layer.name] = _made(layer)
        parts[f"relu_{layer.name}"] = nn.ReLU()
    whole = nn.Sequential(OrderedDict(backbone=nn.Sequential(parts), head=_made(HEAD)))
    with torch.no_grad():
        for parameter, value in zip(whole.parameters(), weights, strict=True):
            parameter.copy_(torch.from_numpy(_turned(value, to_torch=True)))
    return whole


def _made(layer: Layer) -> nn.Module:
    *_, inputs, outputs = layer.shape
    return (
        nn.Conv2d(inputs, outputs, 3, stride=2) if layer.convolves else nn.Linear(inputs, outputs)
    )


def _turned(value: NDArray[np.float32], to_torch: bool) -> NDArray[np.float32]:
    """A kernel between the layouts of Keras and PyTorch."""
    axes = {4: (3, 2, 0, 1) if to_torch else (2, 3, 1, 0), 2: (1, 0)}.get(value.ndim)
    return value if axes is None else np.ascontiguousarray(value.transpose(axes))


@dataclass(frozen=True)
class TorchTrainer:
    """A new module, optimizer and scheduler for each training."""

    multipliers: Rules
    steps: int

    def train(
        self, start: Weights, rate: float, digits: Digits, random: np.random.Generator
    ) -> Weights:
        """See ``Trainer``."""
        model = network(start)
        optimizer = torch.optim.Adam(param_groups(model, self.multipliers, lr=rate), eps=EPSILON)
        scheduler = ScheduleLR(optimizer, cosine(self.steps))
        seen = in_batches(digits, self.steps, random)
        images, labels = _images(seen.images), torch.from_numpy(seen.labels)
        for first in range(0, len(seen), BATCH):
            batch = slice(first, first + BATCH)
            optimizer.zero_grad()
            loss: Any = nn.functional.cross_entropy(model(images[batch]), labels[batch])
            loss.backward()
            optimizer.step()
            scheduler.step()
        return [_turned(p.detach().numpy(), to_torch=False) for p in model.parameters()]


class WithTorch:
    """The demo in plain PyTorch."""

    name = "torch-native"

    def trainer(self, multipliers: Rules, steps: int) -> TorchTrainer:
        """See ``Framework``."""
        return TorchTrainer(multipliers, steps)

    def scores(self, weights: Weights, images: NDArray[np.float32]) -> NDArray[Any]:
        """See ``Framework``."""
        with torch.no_grad():
            scores: NDArray[Any] = network(weights)(_images(images)).numpy()
        return scores

    def plan(self, multipliers: Rules, rate: float, steps: int) -> Plan:
        """See ``Framework``."""
        model = network([np.zeros(shape, np.float32) for shape in weight_shapes()])
        return explain(model, multipliers, lr=rate, schedule=cosine(steps), steps=(steps // 2,))


def _images(images: NDArray[np.float32]) -> torch.Tensor:
    return torch.from_numpy(images).permute(0, 3, 1, 2)
