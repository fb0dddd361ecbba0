"""What a search asks of a framework: three methods. And a trainer that needs no framework."""

from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt

State = TypeVar("State")
Batch = TypeVar("Batch")
Batch_contra = TypeVar("Batch_contra", contravariant=True)


class Trainer(Protocol[State, Batch_contra]):
    """A network, its optimizer and its loss, in any framework.

    ``layerwise.keras``, ``layerwise.torch`` and ``layerwise.optax`` each have one behind their
    ``find_lr``; ``QuadraticTrainer`` needs no framework. Whatever else trains can be searched with
    too, once it has these three methods.

    Examples:
        >>> from layerwise.finder import QuadraticTrainer
        >>> trainer = QuadraticTrainer()
        >>> start = trainer.snapshot()
        >>> trainer.train(0, rate=0.1) > trainer.train(0, rate=0.1)
        True
        >>> trainer.restore(start)
    """

    def snapshot(self) -> State:
        """Return a copy of all that training changes: weights, optimizer state, random states.

        It is taken once, before the first batch is drawn, and must not change with training.
        """

    def restore(self, state: State) -> None:
        """Make everything as it was at the snapshot. This is called any number of times."""

    def train(self, batch: Batch_contra, rate: float) -> float:
        """Apply one update on a batch at a base rate.

        Args:
            batch: All that one update needs, as it came from the batches of the search.
            rate: The base rate, at least 0; at 0 the weights stay as they are.

        Returns:
            The loss of this batch, from before the update. It may be NaN or infinite.
        """


class QuadraticTrainer:
    r"""Gradient descent on a noisy bowl whose best rate is known, for tests of what searches.

    $$\text{loss}(w, \text{batch}) = \frac{1}{2} \sum_i
    \text{curvature}_i \, (w_i - \text{noise}_i(\text{batch}))^2$$

    It diverges above a rate of ``2 / max(curvatures)``. A batch is a whole number, which seeds its
    noise.

    Args:
        curvatures: The curvature in each direction, above 0.
        noise: The standard deviation of the batches' minima, at least 0.
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

    def snapshot(self) -> tuple[npt.NDArray[np.float64], int]:
        """Return a copy of the weights and the count of updates."""
        return self.weights.copy(), self.updates

    def restore(self, state: tuple[npt.NDArray[np.float64], int]) -> None:
        """Go back to a snapshot."""
        self.weights, self.updates = state[0].copy(), state[1]

    def train(self, batch: int, rate: float) -> float:
        """Take one step down the gradient, and return the loss from before it."""
        random = np.random.default_rng(batch)
        away = self.weights - self.noise * random.standard_normal(len(self.weights))
        with np.errstate(over="ignore", invalid="ignore"):
            loss = float(np.sum(self.curvatures * away**2) / 2)
            self.weights = self.weights - rate * self.curvatures * away
        self.updates += 1
        return loss
