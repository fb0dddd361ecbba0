"""The trainer of a search on TensorFlow and PyTorch."""

from typing import Any

import keras

from layerwise.keras._finder.trainer import KerasTrainer, Snapshot, on_host, variables_of
from layerwise.keras._internals.random_states import RandomStates
from layerwise.keras._one_piece import in_one_piece


class EagerTrainer(KerasTrainer):
    """On TensorFlow and PyTorch: the variables train, and a copy of them is kept."""

    def __init__(self, model: Any, on_host: bool, generators: tuple[Any, ...] = ()) -> None:
        super().__init__(model, on_host, generators)
        self.variables = variables_of(model)
        self.fresh_tensors = [
            (v, keras.ops.convert_to_tensor(value, v.dtype))
            for v, value in zip(self.trackers, self.fresh, strict=True)
        ]

    def snapshot(self) -> Snapshot:
        """See ``layerwise.finder.Trainer``."""
        if self.keeps_on_host:
            copies = [on_host(v) for v in self.variables]
        elif keras.backend.backend() == "torch":
            copies = in_one_piece([v.value.detach() for v in self.variables])
        else:
            copies = [keras.ops.copy(v.value) for v in self.variables]
        return RandomStates(self.generators), copies

    def restore(self, state: Snapshot) -> None:
        """See ``layerwise.finder.Trainer``."""
        random, values = state
        for variable, value in zip(self.variables, values or (), strict=True):
            variable.assign(value)
        random.put_back()
        self.begun = False

    def _begin(self) -> None:
        if self.per_update > 1:
            self.count.assign(self._count() // self.per_update * self.per_update)
            for sums in self.inner._accumulated_gradients:
                if sums is not None:
                    sums.assign(keras.ops.zeros_like(sums))

    def _set_rate(self, rate: float) -> None:
        _assign(self.rate, rate)

    def _count(self) -> int:
        return int(on_host(self.count))

    def _step(self, batch: Any) -> Any:
        for variable, value in self.fresh_tensors:
            _assign(variable, value)
        # The train function takes an iterator of batches, or on PyTorch a list of them.
        batches = [batch] if keras.backend.backend() == "torch" else iter([batch])
        return self.model.train_function(batches)


def _assign(variable: Any, value: Any) -> None:
    """Past Keras' checks, which cost as much as a small step."""
    if keras.backend.backend() == "tensorflow":
        variable.value.assign(value, read_value=False)
    else:
        variable.assign(value)
