"""The small convolutional network of the demo, and what a framework must do with it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from layerwise.demo._digits import CLASSES, SIDE, Digits
from layerwise.finder import LRFinding, RatesFinding
from layerwise.multipliers import Plan, Rules

BATCH = 20

Weights = list[NDArray[np.float32]]
"""The kernel and the bias of each layer, from input to head, in Keras' layout."""


@dataclass(frozen=True)
class Layer:
    """One layer with weights.

    Attributes:
        name: Its name, without ``backbone``.
        shape: The shape of its kernel: (3, 3, inputs, outputs) for a convolution with stride 2, or
            (inputs, outputs) for a dense layer.
    """

    name: str
    shape: tuple[int, ...]

    @property
    def convolves(self) -> bool:
        """Whether it is a convolution."""
        return len(self.shape) == 4


_LAST_SIDE = SIDE // 8  # halved by three convolutions

BACKBONE = (
    Layer("conv_1", (3, 3, 1, 32)),
    Layer("conv_2", (3, 3, 32, 64)),
    Layer("conv_3", (3, 3, 64, 128)),
    Layer("dense", (_LAST_SIDE * _LAST_SIDE * 128, 64)),
)
HEAD = Layer("head", (64, CLASSES))


def new_weights(seed: int) -> Weights:
    """The weights of a new network: Glorot's uniform kernels, and biases of zero."""
    random = np.random.default_rng([3, seed])
    weights = []
    for layer in (*BACKBONE, HEAD):
        *window, inputs, outputs = layer.shape
        limit = np.sqrt(6 / (np.prod(window) * (inputs + outputs)))
        weights.append(random.uniform(-limit, limit, layer.shape).astype(np.float32))
        weights.append(np.zeros(outputs, np.float32))
    return weights


def with_backbone(weights: Weights, backbone: Weights) -> Weights:
    """The weights with those of the backbone taken from another network."""
    return [*backbone[:-2], *weights[-2:]]  # a head is a kernel and a bias


def in_batches(digits: Digits, steps: int, random: np.random.Generator) -> Digits:
    """The data of ``steps`` batches in a row, in a new order each time through it."""
    wanted = steps * BATCH
    rounds = [random.permutation(len(digits)) for _ in range(-(-wanted // len(digits)))]
    return digits.take(np.concatenate(rounds)[:wanted])


def batches_of(digits: Digits) -> list[tuple[NDArray[np.float32], NDArray[np.int64]]]:
    """Images and labels, in batches."""
    places = (slice(first, first + BATCH) for first in range(0, len(digits), BATCH))
    return [(digits.images[place], digits.labels[place]) for place in places]


class Trainer(Protocol):
    """Trains the network under one set of rules, any number of times."""

    def train(self, start: Weights, rate: float, seen: Digits, run: Path | None = None) -> Weights:
        """Train from these weights at this base rate, with a new optimizer, and return the weights.

        Args:
            start: The weights to start from.
            rate: The base learning rate.
            seen: What the steps see, as ``in_batches`` gives it.
            run: A folder to record every batch in.
        """

    def find(self, start: Weights, seen: Digits, held_out: Digits, sweep: int) -> LRFinding:
        """Find a base rate for training from these weights, by the framework's ``find_lr``.

        Args:
            start: The weights to start from.
            seen: What the sweep sees, as ``in_batches`` gives it.
            held_out: What to score probes on.
            sweep: How many updates the sweep has.
        """


class Framework(Protocol):
    """What the demo needs of a framework."""

    name: str

    def trainer(self, rules: Rules, steps: int) -> Trainer:
        """Make a trainer: Adam under these rules, and a cosine to zero over the steps."""

    def find_rates(self, start: Weights, few: Digits, steps: int, budget: int) -> RatesFinding:
        """Find a rate for every layer, by the framework's ``find_rates``.

        Args:
            start: The weights to start from.
            few: The labelled digits; a part of them is held out, in several divisions.
            steps: How many updates the training will have.
            budget: How many updates the search may take.
        """

    def scores(self, weights: Weights, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """The logits that the network with these weights gives for images, shape ``(n, 10)``."""

    def plan(self, rules: Rules, rate: float, steps: int) -> Plan:
        """The plan: each weight's rate at the start and halfway."""


def evaluated(framework: Framework, weights: Weights, digits: Digits) -> tuple[float, float]:
    """The network's mean loss with these weights, and the share of digits that it recognizes."""
    scores = framework.scores(weights, digits.images).astype(np.float64)
    highest = scores.max(axis=-1, keepdims=True)
    totals = highest[:, 0] + np.log(np.exp(scores - highest).sum(axis=-1))
    loss = totals - scores[np.arange(len(digits)), digits.labels]
    return float(np.mean(loss)), float(np.mean(scores.argmax(axis=-1) == digits.labels))
