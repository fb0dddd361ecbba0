"""Training at many rates at once, compiled once for each task."""

from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from . import _optimizers
from ._panel import TASKS

_SAMPLE = 1_500


class Bench:
    """One task, ready to train: its data on the device, its steps compiled.

    Args:
        name: The task's.
    """

    def __init__(self, name: str) -> None:
        self.task = TASKS[name]
        self.data = tuple(map(jnp.asarray, self.task.data()))
        self.count = len(self.data[0])
        sample = np.random.default_rng(99).permutation(self.count)[:_SAMPLE]
        self.sample = tuple(array[sample] for array in self.data)
        self.step = jax.jit(self._step)
        self.loss = jax.jit(self.task.loss)
        self._many = jax.jit(jax.vmap(self._train, in_axes=(None, None, None, 0)))
        self._finals = jax.jit(jax.vmap(lambda params: self.task.loss(params, *self.sample)))

    def order(self, seed: int, steps: int) -> np.ndarray[Any, Any]:
        """Which examples are in each batch, (steps, batch): epoch after epoch, shuffled."""
        rng = np.random.default_rng(seed)
        epochs = -(-steps * self.task.batch // (self.count - self.task.batch + 1)) + 1
        per_epoch = self.count // self.task.batch * self.task.batch
        rows = [rng.permutation(self.count)[:per_epoch] for _ in range(epochs)]
        return np.concatenate(rows).reshape(-1, self.task.batch)[:steps]

    def start(self, seed: int) -> Any:
        """The network's parameters from this seed."""
        return self.task.init(jax.random.key(seed))

    def train(
        self, optimizer: str, params: Any, order: Any, rates: Any
    ) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """Train once for each row of rates.

        Args:
            optimizer: Its name.
            params: What each training starts from.
            order: The examples of each batch, (steps, batch).
            rates: The rate of each step, (trainings, steps).

        Returns:
            Each batch's own loss before its update, (trainings, steps), and the trained
            networks' losses on the sample, (trainings,).
        """
        which = _optimizers.OPTIMIZERS.index(optimizer)
        losses, params = self._many(
            which, params, jnp.asarray(order), jnp.asarray(rates, "float32")
        )
        return np.asarray(losses, float), np.asarray(self._finals(params), float)

    def _step(self, which: Any, params: Any, state: Any, places: Any, rate: Any) -> Any:
        batch = tuple(array[places] for array in self.data)
        loss, grads = jax.value_and_grad(self.task.loss)(params, *batch)
        params, state = _optimizers.update(which, params, state, grads, rate)
        return params, state, loss

    def _train(self, which: Any, params: Any, order: Any, rates: Any) -> Any:
        def step(carry: Any, now: Any) -> Any:
            *carry, loss = self._step(which, *carry, *now)
            return tuple(carry), loss

        start = (params, _optimizers.init(params))
        (params, _), losses = jax.lax.scan(step, start, (order, rates))
        return losses, params


@cache
def bench(name: str) -> Bench:
    """The bench of a task; made once in a process."""
    return Bench(name)


def course(name: str, peaks: Any, steps: int) -> np.ndarray[Any, Any]:
    """From each peak along a cosine to 0 in so many steps, or constant: (peaks, steps)."""
    from layerwise import constant, cosine

    schedule = {"cosine": cosine(steps), "constant": constant()}[name]
    return np.asarray(peaks)[:, None] * np.asarray(schedule(np.arange(steps)))
