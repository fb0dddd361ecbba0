"""The demo's network in plain PyTorch."""

from collections import OrderedDict
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from layerwise.demo._digits import Digits
from layerwise.demo._network import BACKBONE, HEAD, Layer, Weights, batches_of, new_weights
from layerwise.finder import LRFinding, RatesFinding
from layerwise.multipliers import Plan, Rules
from layerwise.schedules import cosine
from layerwise.torch import Recorder, ScheduleLR, explain, find_lr, find_rates, param_groups

EPSILON = 1e-7  # as in Keras


class _ChannelsLast(nn.Module):
    """Flattens in the order of Keras, where channels come last."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.permute(0, 2, 3, 1).flatten(1)


def network(weights: Weights) -> nn.Module:
    """A backbone of three strided convolutions and a dense layer, and a head."""
    parts: OrderedDict[str, nn.Module] = OrderedDict()
    for layer in BACKBONE:
        if layer.convolves:
            # With a stride of 2, Keras pads an even side at its end only.
            parts[f"pad_{layer.name}"] = nn.ZeroPad2d((0, 1, 0, 1))
        else:
            parts["flatten"] = _ChannelsLast()
        parts[layer.name] = _made(layer)
        parts[f"relu_{layer.name}"] = nn.ReLU()
    made = nn.Sequential(OrderedDict(backbone=nn.Sequential(parts), head=_made(HEAD)))
    with torch.no_grad():
        for parameter, value in zip(made.parameters(), weights, strict=True):
            parameter.copy_(torch.from_numpy(_turned(value, to_torch=True)))
    return made


def _made(layer: Layer) -> nn.Module:
    *_, inputs, outputs = layer.shape
    if layer.convolves:
        return nn.Conv2d(inputs, outputs, 3, stride=2)
    return nn.Linear(inputs, outputs)


def _turned(value: NDArray[np.float32], to_torch: bool) -> NDArray[np.float32]:
    """Bring a kernel from the layout of Keras to that of PyTorch, or back."""
    axes = {4: (3, 2, 0, 1) if to_torch else (2, 3, 1, 0), 2: (1, 0)}.get(value.ndim)
    return value if axes is None else np.ascontiguousarray(value.transpose(axes))


@dataclass(frozen=True)
class TorchTrainer:
    """A new module, optimizer and scheduler for each training."""

    rules: Rules
    steps: int

    def train(self, start: Weights, rate: float, seen: Digits, run: Path | None = None) -> Weights:
        """See ``Trainer``."""
        model = network(start)
        optimizer = self._optimizer(model, rate)
        scheduler = ScheduleLR(optimizer, cosine(self.steps))
        with nullcontext() if run is None else Recorder(run, scheduler) as recorder:
            for images, labels in _batches(seen):
                optimizer.zero_grad()
                loss: torch.Tensor = nn.functional.cross_entropy(model(images), labels)
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                if recorder is not None:
                    recorder.log(loss=loss)
                scheduler.step()
        return [_turned(p.detach().numpy(), to_torch=False) for p in model.parameters()]

    def find(self, start: Weights, seen: Digits, held_out: Digits, sweep: int) -> LRFinding:
        """See ``Trainer``."""
        model = network(start)
        return find_lr(
            model,
            self._optimizer(model, 1.0),
            nn.functional.cross_entropy,
            _batches(seen),
            held_out=_batches(held_out),
            steps=sweep,
            horizon=self.steps,
            progress=False,
        )

    def _optimizer(self, model: nn.Module, rate: float) -> torch.optim.Optimizer:
        return torch.optim.Adam(param_groups(model, self.rules, lr=rate), eps=EPSILON)


class WithTorch:
    """The demo in plain PyTorch."""

    name = "torch-native"

    def trainer(self, rules: Rules, steps: int) -> TorchTrainer:
        """See ``Framework``."""
        return TorchTrainer(rules, steps)

    def find_rates(self, start: Weights, few: Digits, steps: int, budget: int) -> RatesFinding:
        """See ``Framework``."""
        model = network(start)
        return find_rates(
            model,
            torch.optim.Adam(model.parameters(), eps=EPSILON),
            nn.functional.cross_entropy,
            _batches(few),
            budget=budget,
            horizon=steps,
            progress=False,
        )

    def scores(self, weights: Weights, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """See ``Framework``."""
        with torch.no_grad():
            scores: NDArray[np.float32] = network(weights)(_images(images)).numpy()
        return scores

    def plan(self, rules: Rules, rate: float, steps: int) -> Plan:
        """See ``Framework``."""
        model, schedule = network(new_weights(0)), cosine(steps)
        return explain(model, rules, learning_rate=rate, schedule=schedule, steps=(steps // 2,))


def _images(images: NDArray[np.float32]) -> torch.Tensor:
    return torch.from_numpy(images).permute(0, 3, 1, 2)


def _batches(digits: Digits) -> list[tuple[torch.Tensor, torch.Tensor]]:
    return [(_images(images), torch.from_numpy(labels)) for images, labels in batches_of(digits)]
