"""The trainers of a search: a model and its optimizer, driven one update at a time.

Both call the model's own train function, so that its own ``train_step``, losses and metrics count.
Only the state around the call is theirs: the base rate is a variable, and the mean that Keras keeps
of the loss starts anew with every batch, so that what comes out is the batch's own.
"""

import math
from typing import Any

import keras
import numpy as np

from layerwise.errors import FinderError
from layerwise.keras._hooks import batch_count, inner_optimizer, rate_variable
from layerwise.keras._random_states import RandomStates

_ATTEMPTS = 40  # more than a loss scale can be halved before float32 ends

Snapshot = tuple[RandomStates, list[Any] | None]


class KerasTrainer:
    """What is common to the trainers; see :class:`layerwise.finder.Trainer`.

    Args:
        model: A compiled and built model, its base rate in a variable.
        on_host: Whether the copy of the state is to be in the memory of the host.
        generators: Random generators that the data has of its own.
    """

    def __init__(self, model: Any, on_host: bool, generators: tuple[Any, ...] = ()) -> None:
        self.model = model
        self.keeps_on_host = on_host
        self.generators = generators
        self.inner = inner_optimizer(model.optimizer)
        self.scales_loss = self.inner is not model.optimizer
        self.rate = rate_variable(model.optimizer)
        self.count = batch_count(model.optimizer)
        self.per_update = self.inner.gradient_accumulation_steps or 1
        self.trackers = _unique(_loss_trackers(model))
        self.fresh = self._fresh_values()
        self.begun = False

    def _fresh_values(self) -> list[Any]:
        """What the variables of the loss trackers hold after a reset."""
        every = _unique(self.model.metrics_variables)
        before = [on_host(v) for v in every]
        self.model.reset_metrics()
        fresh = [on_host(v) for v in self.trackers]
        for variable, value in zip(every, before, strict=True):
            variable.assign(value)
        return fresh

    def train(self, batch: list[Any], rate: float) -> float:
        """One applied update on the batches of a list; their mean loss."""
        if not self.begun:
            self._begin()
            self.begun = True
        self._set_rate(rate)
        losses = []
        for part in batch:
            for _ in range(_ATTEMPTS):
                count = self._count() if self.scales_loss else None
                loss = self._loss_of(self._step(part))
                if count is None or self._count() != count:
                    break
            else:
                return math.nan
            losses.append(loss)
        return sum(losses) / len(losses)

    def _loss_of(self, logs: Any) -> float:
        if not isinstance(logs, dict) or "loss" not in logs:
            raise FinderError(
                f"The train_step() of {self.model.name!r} returns no 'loss', so there is nothing "
                "to search by. Return {'loss': ...} from it."
            )
        loss = np.asarray(keras.ops.convert_to_numpy(logs["loss"]))
        if loss.ndim:
            raise FinderError(scalar_needed(self.model, loss.shape))
        return float(loss)

    # -- what the backends do differently -------------------------------------------------------

    def snapshot(self) -> Snapshot:
        """See :class:`layerwise.finder.Trainer`."""
        raise NotImplementedError

    def restore(self, state: Snapshot) -> None:
        """See :class:`layerwise.finder.Trainer`."""
        raise NotImplementedError

    def _begin(self) -> None:
        """Start from the snapshot, with no gradient of an unfinished update in it."""
        raise NotImplementedError

    def _set_rate(self, rate: float) -> None:
        raise NotImplementedError

    def _count(self) -> int:
        raise NotImplementedError

    def _step(self, batch: Any) -> Any:
        raise NotImplementedError


class EagerTrainer(KerasTrainer):
    """On TensorFlow and PyTorch: the variables train, and a copy of them is kept."""

    def __init__(self, model: Any, on_host: bool, generators: tuple[Any, ...] = ()) -> None:
        super().__init__(model, on_host, generators)
        self.variables = variables_of(model)
        self.fresh_tensors = [
            keras.ops.convert_to_tensor(value, v.dtype)
            for v, value in zip(self.trackers, self.fresh, strict=True)
        ]

    def snapshot(self) -> Snapshot:
        """See :class:`layerwise.finder.Trainer`."""
        copy = on_host if self.keeps_on_host else _on_device
        return RandomStates(self.generators), [copy(v) for v in self.variables]

    def restore(self, state: Snapshot) -> None:
        """See :class:`layerwise.finder.Trainer`."""
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
        for variable, value in zip(self.trackers, self.fresh_tensors, strict=True):
            _assign(variable, value)
        # The train function takes an iterator of batches, or on PyTorch a list of them.
        batches = [batch] if keras.backend.backend() == "torch" else iter([batch])
        return self.model.train_function(batches)


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
        """See :class:`layerwise.finder.Trainer`."""
        values = [on_host(v) for part in self.parts for v in part] if self.keeps_on_host else None
        return RandomStates(self.generators), values

    def restore(self, state: Snapshot) -> None:
        """See :class:`layerwise.finder.Trainer`."""
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


def trainer_of(model: Any, on_host: bool, generators: tuple[Any, ...] = ()) -> KerasTrainer:
    """The trainer of this backend."""
    kind = FunctionalTrainer if keras.backend.backend() == "jax" else EagerTrainer
    return kind(model, on_host, generators)


def scalar_needed(model: Any, shape: tuple[int, ...]) -> str:
    """What to say of a loss of this shape."""
    return (
        f"The loss of {model.name!r} has the shape {tuple(shape)}, and a search needs one number "
        "for each batch: give the loss a reduction, such as reduction='sum_over_batch_size', or "
        "return its mean from compute_loss()."
    )


def variables_of(model: Any) -> list[Any]:
    """Every variable of a model, its optimizer and its metrics, each once."""
    return _unique([*model.variables, *model.optimizer.variables, *model.metrics_variables])


def _loss_trackers(model: Any) -> list[Any]:
    """The variables of the metrics behind ``logs["loss"]``; of all metrics if none is called so."""
    called = [metric for metric in model.metrics if metric.name == "loss"]
    return [v for metric in called or model.metrics for v in metric.variables]


def _unique(variables: list[Any]) -> list[Any]:
    return list({id(v): v for v in variables}.values())


def _assign(variable: Any, value: Any) -> None:
    """Past Keras' checks, which cost as much as a small step."""
    if keras.backend.backend() == "tensorflow":
        variable.value.assign(value)
    else:
        variable.assign(value)


def on_host(variable: Any) -> Any:
    """A copy of its value, as a NumPy array."""
    return np.array(keras.ops.convert_to_numpy(variable.value))


def _on_device(variable: Any) -> Any:
    value = variable.value
    return value.detach().clone() if hasattr(value, "detach") else keras.ops.copy(value)
