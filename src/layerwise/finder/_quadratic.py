"""A trainer without a framework, for tests of what is built on the search."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class _State:
    weights: npt.NDArray[np.float64]
    updates: int


class QuadraticTrainer:
    """Gradient descent on a noisy bowl, whose best rate is known in closed form.

        loss(w, batch) = sum(curvatures * (w - noise(batch))**2) / 2

    Above ``2 / max(curvatures)`` it diverges. Batches are whole numbers that seed the noise.

    Args:
        curvatures: Of each direction, above 0.
        noise: The standard deviation of each batch's own minimum, at least 0.
        start: The weight in each direction at the beginning.

    Attributes:
        weights: The weights now.
        updates: How many updates were applied.

    Examples:
        >>> trainer = QuadraticTrainer(curvatures=(1.0,), noise=0.0, start=2.0)
        >>> trainer.train(0, rate=0.5), trainer.weights.tolist()
        (2.0, [1.0])
    """

    def __init__(
        self,
        curvatures: tuple[float, ...] = (1.0, 0.1, 0.01),
        noise: float = 0.1,
        start: float = 3.0,
    ) -> None:
        self.curvatures = np.asarray(curvatures, np.float64)
        self.noise = noise
        self.weights = np.full(len(self.curvatures), start)
        self.updates = 0

    def snapshot(self) -> _State:
        """See ``Trainer``."""
        return _State(self.weights.copy(), self.updates)

    def restore(self, state: Any) -> None:
        """See ``Trainer``."""
        self.weights, self.updates = state.weights.copy(), state.updates

    def train(self, batch: Any, rate: float) -> float:
        """See ``Trainer``."""
        random = np.random.default_rng(batch)
        away = self.weights - self.noise * random.standard_normal(len(self.weights))
        with np.errstate(over="ignore", invalid="ignore"):
            loss = float(np.sum(self.curvatures * away**2) / 2)
            self.weights = self.weights - rate * self.curvatures * away
        self.updates += 1
        return loss
