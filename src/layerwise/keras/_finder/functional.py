"""The trainer of a search on JAX."""

from typing import Any

import keras
import numpy as np

from layerwise.keras._finder.trainer import KerasTrainer, Snapshot, on_host
from layerwise.keras._internals.random_states import RandomStates


class FunctionalTrainer(KerasTrainer):
    """On JAX: what trains is a copy, and the variables keep what they have.

    With the copy on the host it is the other way round, as in ``fit``: the variables give away
    their arrays, which train, and get theirs back from the host.
    """

    def __init__(self, model: Any, on_host: bool, generators: tuple[Any, ...] = ()) -> None:
        super().__init__(model, on_host, generators)
        self.parts = [
            model.trainable_variables,
            model.non_trainable_variables,
            model.optimizer.variables,
            model.metrics_variables,
        ]
        self.state: list[list[Any]] = []
        places = {id(v): i for i, v in enumerate(self.parts[2])}
        self.rate_place, self.count_place = places[id(self.rate)], places[id(self.count)]
        places = {id(v): i for i, v in enumerate(self.parts[3])}
        self.fresh_at = [
            (places[id(v)], value)
            for v, value in zip(self.trackers, self.fresh, strict=True)
            if id(v) in places
        ]
        self.rate_type = np.dtype(self.rate.dtype)

    def snapshot(self) -> Snapshot:
        """See ``layerwise.finder.Trainer``."""
        values = [on_host(v) for part in self.parts for v in part] if self.keeps_on_host else None
        return RandomStates(self.generators), values

    def restore(self, state: Snapshot) -> None:
        """See ``layerwise.finder.Trainer``."""
        random, values = state
        self.state = []
        if values is not None and self.begun:
            for variable, value in zip((v for p in self.parts for v in p), values, strict=True):
                variable.assign(value)
        random.put_back()
        self.begun = False

    def _begin(self) -> None:
        if self.keeps_on_host:
            self.state = [[v.value for v in part] for part in self.parts]
            self.model._purge_model_variables(True, True, True, True)
        else:
            self.state = [[keras.ops.copy(v.value) for v in part] for part in self.parts]
        if self.per_update > 1:
            values = self.state[2]
            count = self._count() // self.per_update * self.per_update
            values[self.count_place] = np.asarray(count, values[self.count_place].dtype)
            sums = {id(v) for v in self.inner._accumulated_gradients if v is not None}
            for place, variable in enumerate(self.parts[2]):
                if id(variable) in sums:
                    values[place] = keras.ops.zeros_like(values[place])

    def _set_rate(self, rate: float) -> None:
        self.state[2][self.rate_place] = np.asarray(rate, self.rate_type)

    def _count(self) -> int:
        return int(self.state[2][self.count_place])

    def _step(self, batch: Any) -> Any:
        # The rate is given away with the state, and put in again should this be a second batch.
        rate = self.state[2][self.rate_place]
        for place, value in self.fresh_at:
            self.state[3][place] = value
        logs, state = self.model.train_function(tuple(self.state), iter([batch]))
        self.state = [list(part) for part in state]
        self.state[2][self.rate_place] = rate
        return logs
