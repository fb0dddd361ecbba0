"""The protocol: three methods are all that a search for a rate asks of a framework."""

from typing import Any, Protocol


class Trainer(Protocol):
    """What is searched with: a network, its optimizer and its loss, in any framework.

    ``layerwise.keras``, ``layerwise.torch`` and ``layerwise.optax`` each have one behind their
    ``find_lr``; ``QuadraticTrainer`` is one that needs no framework. With these three methods
    ``search`` works for anything else that trains.

    Examples:
        >>> from layerwise.finder import QuadraticTrainer, search
        >>> trainer: Trainer = QuadraticTrainer()
        >>> start = trainer.snapshot()
        >>> trainer.train(0, rate=0.1) > trainer.train(0, rate=0.1)
        True
        >>> trainer.restore(start)
    """

    def snapshot(self) -> Any:
        """All that training changes: weights, optimizer state, counters, random states.

        It is called once, before the first batch is drawn, and must not change with training.
        """

    def restore(self, state: Any) -> None:
        """Make everything as it was at the snapshot; called any number of times."""

    def train(self, batch: Any, rate: float) -> float:
        """Apply one update on a batch at a base rate.

        Args:
            batch: All that one update needs, as the search was given it.
            rate: The base rate, at least 0; at 0 the weights stay as they are.

        Returns:
            The batch's own loss, from before the update. It may be NaN or infinite.
        """
