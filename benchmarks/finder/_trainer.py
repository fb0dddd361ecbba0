"""The panel's trainer: what is measured is the search that is shipped."""

from typing import Any

import jax.numpy as jnp

from . import _optimizers
from ._oracle import Case, finder_order
from ._training import bench


class PanelTrainer:
    """A case, as ``layerwise.finder.Trainer`` asks for it; a batch is an array of places."""

    def __init__(self, case: Case) -> None:
        self._bench = bench(case.task)
        self._which = _optimizers.OPTIMIZERS.index(case.optimizer)
        params = self._bench.start(case.seed)
        self._state = (params, _optimizers.init(params))
        self.updates = 0

    def snapshot(self) -> Any:
        """JAX' arrays can't change: the state itself is the copy."""
        return self._state

    def restore(self, state: Any) -> None:
        """Put the state back."""
        self._state = state

    def train(self, batch: Any, rate: float) -> float:
        """One update."""
        *state, loss = self._bench.step(self._which, *self._state, batch, rate)
        self._state = tuple(state)
        self.updates += 1
        return float(loss)


def finder_batches(case: Case, steps: int) -> list[Any]:
    """The first batches of the order that a finder is given."""
    return [jnp.asarray(places) for places in finder_order(case, steps)]
