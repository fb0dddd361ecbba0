"""What a search for the rates of bands asks of a framework: four methods, and one rate."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from layerwise.errors import FinderError
from layerwise.finder._trainer import Batch_contra, State

_SAME = 1e-6  # by which share two rates may differ and still count as one


class RatesTrainer(Protocol[State, Batch_contra]):
    """A network whose bands of layers each train at a rate of their own, in any framework.

    ``layerwise.keras``, ``layerwise.torch`` and ``layerwise.optax`` each have one behind their
    ``find_rates``. Whatever else trains can be searched with too, once it has these four methods.

    ``QuadraticBands`` is one that needs no framework.

    Examples:
        >>> from layerwise.finder import QuadraticBands
        >>> trainer = QuadraticBands(curvatures=(1.0, 1.0))
        >>> start = trainer.snapshot()
        >>> trainer.train((0,), rates=[0.1, 0.0]) > trainer.score([(0,)])
        True
        >>> trainer.restore(start)
    """

    def snapshot(self) -> State:
        """Return a copy of all that training changes: weights, optimizer state, random states.

        It is taken once, before the first batch is drawn, and must not change with training.
        """

    def restore(self, state: State) -> None:
        """Make everything as it was at the snapshot. This is called any number of times."""

    def train(self, batch: Batch_contra, rates: Sequence[float]) -> float:
        """Apply one update on a batch.

        Args:
            batch: All that one update needs.
            rates: The rate of each band, at least 0; the weights of a band at 0 stay as they are.

        Returns:
            The loss of this batch, from before the update. It may be NaN or infinite.
        """

    def score(
        self, batches: Sequence[Batch_contra], stretch: Sequence[float] | None = None
    ) -> float:
        """The mean loss of batches, as it is measured after training; no weight changes.

        Args:
            batches: What to measure the loss on; each batch counts alike.
            stretch: For each band, how far along its way to measure: weights are taken to be
                ``start + stretch * (now - start)``. None is 1 for all: the weights as they are.

        Returns:
            The loss. It may be NaN or infinite.
        """


def relative(rates: Sequence[float]) -> tuple[float, list[float]]:
    """The highest of some rates, and each as a share of it; all are 0 if that is 0.

    Examples:
        >>> relative([0.5, 2.0])
        (2.0, [0.25, 1.0])
    """
    base = max(rates)
    return base, [rate / base if base else 0.0 for rate in rates]


def check_one_rate(factors: Mapping[str, float]) -> None:
    """Raise if an optimizer has several rates, which a search for rates would replace.

    Args:
        factors: The factor of each group's rate on the base rate, by name.

    Raises:
        FinderError: Its groups have several rates.

    Examples:
        >>> check_one_rate({"body": 1.0, "head": 1.0})
    """
    if factors and max(factors.values()) > (1 + _SAME) * min(factors.values()):
        first = ", ".join(f"{name}: {factor:g}" for name, factor in list(factors.items())[:4])
        raise FinderError(
            f"The optimizer has rates of its own for parts of the model ({first}), which the "
            "search would replace. Give an optimizer with one rate, and as rules= what must keep "
            "its ratio."
        )


class QuadraticBands:
    r"""Gradient descent on a noisy bowl with one weight for each band, for tests of what searches.

    $$\text{loss}(w, \text{batch}) = \frac{1}{2} \sum_b
    \text{curvature}_b \, (w_b - \text{goal}_b - \text{noise}_b(\text{batch}))^2$$

    A batch is a tuple of whole numbers, which seed its noise.

    Args:
        curvatures: The curvature for each band, at least 0.
        goals: Where the weight of each band is best; 0 by default.
        start: Where all weights begin.
        noise: The standard deviation of the batches' minima, at least 0.

    Attributes:
        weights: The weights now.
        updates: How many updates were applied.

    Examples:
        >>> trainer = QuadraticBands((1.0, 0.5), noise=0.0, start=2.0)
        >>> trainer.train((0,), [0.5, 1.0]), trainer.weights.tolist()
        (3.0, [1.0, 1.0])
    """

    def __init__(
        self,
        curvatures: Sequence[float],
        goals: Sequence[float] | None = None,
        start: float = 3.0,
        noise: float = 0.1,
    ) -> None:
        self.curvatures = np.asarray(curvatures, np.float64)
        self.goals = np.zeros(len(self.curvatures)) if goals is None else np.asarray(goals)
        self.noise = noise
        self.weights = np.full(len(self.curvatures), start)
        self.updates = 0
        self._start = self.weights

    def snapshot(self) -> tuple[npt.NDArray[np.float64], int]:
        """Return a copy of the weights and the count of updates."""
        return self.weights.copy(), self.updates

    def restore(self, state: tuple[npt.NDArray[np.float64], int]) -> None:
        """Go back to a snapshot."""
        self.weights, self.updates = state[0].copy(), state[1]
        self._start = self.weights

    def train(self, batch: Sequence[int], rates: Sequence[float]) -> float:
        """Take one step down the gradient, and return the loss from before it."""
        away = self._away(batch, self.weights)
        with np.errstate(over="ignore", invalid="ignore"):
            loss = float(np.sum(self.curvatures * away**2) / 2)
            self.weights = self.weights - np.asarray(rates) * self.curvatures * away
        self.updates += 1
        return loss

    def score(
        self, batches: Sequence[Sequence[int]], stretch: Sequence[float] | None = None
    ) -> float:
        """The mean loss of batches, with bands further along their way if asked."""
        far = 1.0 if stretch is None else np.asarray(stretch)
        weights = self._start + far * (self.weights - self._start)
        losses = [np.sum(self.curvatures * self._away(b, weights) ** 2) / 2 for b in batches]
        return float(np.mean(losses))

    def _away(
        self, batch: Sequence[int], weights: npt.NDArray[np.float64]
    ) -> npt.NDArray[np.float64]:
        random = np.random.default_rng(list(batch))
        return weights - self.goals - self.noise * random.standard_normal(len(weights))
