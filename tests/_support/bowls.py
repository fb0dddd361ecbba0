"""Quadratic bowls, each with a difficulty of its own, and bands for them."""

from typing import Any

import numpy as np

from layerwise.finder import Bands, QuadraticBands

TWO = Bands((("body",), ("head",)))
FIVE = Bands(tuple((f"layer{n}",) for n in range(5)))


class Misled(QuadraticBands):
    """A bowl whose bands are drawn to other goals by what is trained on than by what is held out.

    The bands in ``misled`` lose by every step that they take.
    """

    def __init__(self, bands: int, misled: set[int]) -> None:
        super().__init__([1.0] * bands, start=1.0, noise=0.05)
        self.misled = [n in misled for n in range(bands)]

    def train(self, batch: Any, rates: Any) -> float:
        goals, self.goals = self.goals, np.where(self.misled, 4.0, 0.0)
        try:
            return super().train(batch, rates)
        finally:
            self.goals = goals

    def score(self, batches: Any, stretch: Any = None) -> float:
        goals, self.goals = self.goals, np.where(self.misled, 1.0, 0.0)
        try:
            return super().score(batches, stretch) + 0.01
        finally:
            self.goals = goals


class Counting(QuadraticBands):
    """Counts updates and scored batches over the whole search."""

    taken = 0

    def train(self, batch: Any, rates: Any) -> float:
        self.taken += 1
        return super().train(batch, rates)

    def score(self, batches: Any, stretch: Any = None) -> float:
        self.taken += len(batches)
        return super().score(batches, stretch)


class Negative(QuadraticBands):
    """Has losses below 0, as log-likelihoods have."""

    def train(self, batch: Any, rates: Any) -> float:
        return super().train(batch, rates) - 50

    def score(self, batches: Any, stretch: Any = None) -> float:
        return super().score(batches, stretch) - 50
