"""The trainers of a search: one for JAX, and one for TensorFlow and PyTorch."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from layerwise.keras._finder.restore import VariableSnapshot, unique, variables_of
from layerwise.keras._finder.trainer import KerasTrainer, Moved, Snapshot
from layerwise.keras._internals.optimizer import accumulated_gradients
from layerwise.keras._internals.random_states import RandomStates, TorchGenerator
from layerwise.keras._internals.tensorflow import on_each_replica
from layerwise.keras._internals.train_function import TrainFunction, evaluating
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

    def score(self, test: TrainFunction, batches: Sequence[object], moved: Moved | None) -> float:
        """See ``KerasTrainer``."""
        trained = self.model.trainable_variables
        others = unique([*self.model.non_trainable_variables, *self.model.metrics_variables])
        before = VariableSnapshot(
            on_each_replica(self.model, [*(trained if moved else ()), *others]), on_host=False
        )
        try:
            if moved is not None:
                for variable in trained:
                    for part in on_each_replica(self.model, [variable]):
                        part.assign(moved(variable, keras.ops.stop_gradient(part.value)))
            with evaluating(self.model):
                losses = [self._test_on(test, batch) for batch in batches]
        finally:
            before.put_back()
        return sum(losses) / len(losses)

    def _test_on(self, test: TrainFunction, batch: object) -> float:
        for variable, value in zip(self.trackers, self.reset_values, strict=True):
            variable.assign(keras.ops.convert_to_tensor(value))
        return self._loss_of(test(_batch_for(batch)), "test_step")

    def _set_inputs(self, values: Sequence[float | Sequence[float]]) -> None:
        for variable, value in zip(self.inputs, values, strict=True):
            _assign(variable, value)

    def _count(self) -> int:
        return int(number_in(self.count))

    def _train_on(self, batch: object) -> object:
        for variable, value in self._reset_tensors:
            _assign(variable, value)
        return self.model.train_function(_batch_for(batch))


def _batch_for(batch: object) -> object:
    """What a train or test function takes: an iterator of batches, on PyTorch a list of them."""
    return [batch] if keras.backend.backend() == "torch" else iter([batch])


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
        self,
        model: keras.Model,
        on_host: bool,
        generators: tuple[TorchGenerator, ...],
        factors: keras.Variable | None = None,
    ) -> None:
        super().__init__(model, on_host, generators, factors)
        self._variables = state_variables(model)
        self._state: list[list[Any]] = []
        places = {id(v): i for i, v in enumerate(self._variables[OPTIMIZER_PART])}
        self._input_places = [places[id(variable)] for variable in self.inputs]
        self._count_place = places[id(self.count)]
        places = {id(v): i for i, v in enumerate(self._variables[METRICS_PART])}
        self._reset_at = [
            (places[id(v)], value)
            for v, value in zip(self.trackers, self.reset_values, strict=True)
            if id(v) in places
        ]

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

    def score(self, test: TrainFunction, batches: Sequence[object], moved: Moved | None) -> float:
        """See ``KerasTrainer``."""
        trained, others, _, metrics = self._state or [[v.value for v in p] for p in self._variables]
        if moved is not None:
            trained = [moved(v, now) for v, now in zip(self._variables[0], trained, strict=True)]
        # The step takes over the arrays of its state, so it gets copies.
        state = [list(map(keras.ops.copy, part)) for part in (trained, others, metrics)]
        losses = []
        for batch in batches:
            for place, value in self._reset_at:
                state[-1][place] = value
            logs, new = test(tuple(state), iter([batch]))
            state = [list(part) for part in new]
            losses.append(self._loss_of(logs, "test_step"))
        return sum(losses) / len(losses)

    def _set_inputs(self, values: Sequence[float | Sequence[float]]) -> None:
        for place, variable, value in zip(self._input_places, self.inputs, values, strict=True):
            self._state[OPTIMIZER_PART][place] = np.asarray(value, variable.dtype)

    def _count(self) -> int:
        return int(self._state[OPTIMIZER_PART][self._count_place])

    def _train_on(self, batch: object) -> object:
        # The step takes over the arrays of its state; what was set is put in again for the next
        # batch.
        inputs = [self._state[OPTIMIZER_PART][place] for place in self._input_places]
        for place, value in self._reset_at:
            self._state[METRICS_PART][place] = value
        logs, state = self.model.train_function(tuple(self._state), iter([batch]))
        self._state = [list(part) for part in state]
        for place, value in zip(self._input_places, inputs, strict=True):
            self._state[OPTIMIZER_PART][place] = value
        return logs


def trainer_for(
    model: keras.Model,
    on_host: bool,
    generators: tuple[TorchGenerator, ...],
    factors: keras.Variable | None = None,
) -> KerasTrainer:
    """The trainer for the backend; the arguments are those of ``KerasTrainer``."""
    kind = FunctionalTrainer if keras.backend.backend() == "jax" else EagerTrainer
    return kind(model, on_host, generators, factors)
