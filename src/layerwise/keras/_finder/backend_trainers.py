"""The trainers of a search: one for JAX, and one for TensorFlow and PyTorch."""

from typing import Any

import keras
import numpy as np

from layerwise.keras._finder.restore import VariableSnapshot, variables_of
from layerwise.keras._finder.trainer import KerasTrainer, Snapshot
from layerwise.keras._internals.optimizer import accumulated_gradients
from layerwise.keras._internals.random_states import RandomStates, TorchGenerator
from layerwise.keras._internals.tensorflow import on_each_replica
from layerwise.keras._internals.trainer import (
    METRICS_PART,
    OPTIMIZER_PART,
    give_arrays_away,
    state_variables,
)
from layerwise.keras._internals.values import number_in


class EagerTrainer(KerasTrainer):
    """On TensorFlow and PyTorch: the variables train, and a copy of them is kept."""

    def snapshot(self) -> Snapshot:
        """See ``layerwise.finder.Trainer``."""
        attributes = self._attributes(variables_of(self.model, replicas=False))
        others = on_each_replica(self.model, attributes.variables)
        values = VariableSnapshot([*variables_of(self.model), *others], self.on_host)
        return RandomStates(self.generators), attributes, values

    def _begin(self, per_update: int) -> None:
        self._reset_tensors = [
            (v, keras.ops.convert_to_tensor(value, v.dtype))
            for v, value in zip(self.trackers, self.reset_values, strict=True)
        ]
        if per_update > 1:
            self.count.assign(self._count() // per_update * per_update)
            for sums in accumulated_gradients(self.model.optimizer):
                sums.assign(keras.ops.zeros_like(sums))

    def _set_rate(self, rate: float) -> None:
        _assign(self.rate, rate)

    def _count(self) -> int:
        return int(number_in(self.count))

    def _train_on(self, batch: object) -> object:
        for variable, value in self._reset_tensors:
            _assign(variable, value)
        # The train function takes an iterator of batches, or on PyTorch a list of them.
        batches = [batch] if keras.backend.backend() == "torch" else iter([batch])
        return self.model.train_function(batches)


def _assign(variable: keras.Variable, value: object) -> None:
    """Assign without Keras' checks, which cost as much as a small step."""
    if keras.backend.backend() == "tensorflow":
        variable.value.assign(value, read_value=False)
    else:
        variable.assign(value)


class FunctionalTrainer(KerasTrainer):
    """On JAX: a copy of the state trains, and the variables keep their values.

    With the copy on the host it is the other way round, as in ``fit``: the arrays of the variables
    train, and the variables get their values back from the host.
    """

    def __init__(
        self, model: keras.Model, on_host: bool, generators: tuple[TorchGenerator, ...]
    ) -> None:
        super().__init__(model, on_host, generators)
        self._variables = state_variables(model)
        self._state: list[list[Any]] = []
        places = {id(v): i for i, v in enumerate(self._variables[OPTIMIZER_PART])}
        self._rate_place, self._count_place = places[id(self.rate)], places[id(self.count)]
        places = {id(v): i for i, v in enumerate(self._variables[METRICS_PART])}
        self._reset_at = [
            (places[id(v)], value)
            for v, value in zip(self.trackers, self.reset_values, strict=True)
            if id(v) in places
        ]
        self._rate_type = np.dtype(self.rate.dtype)

    def snapshot(self) -> Snapshot:
        """See ``layerwise.finder.Trainer``."""
        every = [variable for part in self._variables for variable in part]
        attributes = self._attributes(every)
        values = VariableSnapshot([*(every if self.on_host else ()), *attributes.variables])
        return RandomStates(self.generators), attributes, values

    def restore(self, state: Snapshot) -> None:
        """See ``layerwise.finder.Trainer``."""
        self._state = []
        super().restore(state)

    def _begin(self, per_update: int) -> None:
        if self.on_host:
            self._state = [[v.value for v in part] for part in self._variables]
            give_arrays_away(self.model)
        else:
            self._state = [[keras.ops.copy(v.value) for v in part] for part in self._variables]
        if per_update > 1:
            values = self._state[OPTIMIZER_PART]
            count = self._count() // per_update * per_update
            values[self._count_place] = np.asarray(count, values[self._count_place].dtype)
            sums = set(map(id, accumulated_gradients(self.model.optimizer)))
            for place, variable in enumerate(self._variables[OPTIMIZER_PART]):
                if id(variable) in sums:
                    values[place] = keras.ops.zeros_like(values[place])

    def _set_rate(self, rate: float) -> None:
        self._state[OPTIMIZER_PART][self._rate_place] = np.asarray(rate, self._rate_type)

    def _count(self) -> int:
        return int(self._state[OPTIMIZER_PART][self._count_place])

    def _train_on(self, batch: object) -> object:
        # The step takes over the arrays of its state; the rate is put in again for the next batch.
        rate = self._state[OPTIMIZER_PART][self._rate_place]
        for place, value in self._reset_at:
            self._state[METRICS_PART][place] = value
        logs, state = self.model.train_function(tuple(self._state), iter([batch]))
        self._state = [list(part) for part in state]
        self._state[OPTIMIZER_PART][self._rate_place] = rate
        return logs
