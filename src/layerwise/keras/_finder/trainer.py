"""The trainers of a search: a model and its optimizer, driven one update at a time.

Both call the model's own train function, so that its own ``train_step``, losses and metrics count.
Only the state around the call is theirs: the base rate is a variable, and the mean that Keras keeps
of the loss starts anew with every batch, so that what comes out is the batch's own.
"""

import math
from abc import ABC, abstractmethod
from typing import Any

import keras
import numpy as np

from layerwise.errors import FinderError
from layerwise.keras._internals.optimizer import batch_count, inner_optimizer, rate_variable
from layerwise.keras._internals.random_states import RandomStates
from layerwise.keras._internals.tensorflow import on_each_replica
from layerwise.keras._internals.values import number_in

_ATTEMPTS = 40  # more than a loss scale can be halved before float32 ends

Snapshot = tuple[RandomStates, list[Any] | None]


class KerasTrainer(ABC):
    """What is common to the trainers; see ``layerwise.finder.Trainer``.

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
        self.trackers = on_each_replica(model, unique(_loss_trackers(model)))
        self.fresh = self._fresh_values()
        self.begun = False

    def _fresh_values(self) -> list[Any]:
        """What the variables of the loss trackers hold after a reset."""
        every = on_each_replica(self.model, unique(self.model.metrics_variables))
        before = [on_host(v) for v in every]
        try:
            self.model.reset_metrics()
            return [on_host(v) for v in self.trackers]
        finally:
            for variable, value in zip(every, before, strict=True):
                variable.assign(value)

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

    @abstractmethod
    def snapshot(self) -> Snapshot:
        """See ``layerwise.finder.Trainer``."""

    @abstractmethod
    def restore(self, state: Snapshot) -> None:
        """See ``layerwise.finder.Trainer``."""

    @abstractmethod
    def _begin(self) -> None:
        """Start from the snapshot, with no gradient of an unfinished update in it."""

    @abstractmethod
    def _set_rate(self, rate: float) -> None:
        """Make this the base rate of what follows."""

    @abstractmethod
    def _count(self) -> int:
        """The optimizer's own count."""

    @abstractmethod
    def _step(self, batch: Any) -> Any:
        """Train on one batch; Keras' logs."""


def scalar_needed(model: Any, shape: tuple[int, ...]) -> str:
    """What to say of a loss of this shape."""
    return (
        f"The loss of {model.name!r} has the shape {tuple(shape)}, and a search needs one number "
        "for each batch: give the loss a reduction, such as reduction='sum_over_batch_size', or "
        "return its mean from compute_loss()."
    )


def variables_of(model: Any) -> list[Any]:
    """Every variable of a model, its optimizer and its metrics, each once on each replica."""
    every = [*model.variables, *model.optimizer.variables, *model.metrics_variables]
    return on_each_replica(model, unique(every))


def _loss_trackers(model: Any) -> list[Any]:
    """The variables of the metrics behind ``logs["loss"]``; of all metrics if none is called so."""
    called = [metric for metric in model.metrics if metric.name == "loss"]
    return [v for metric in called or model.metrics for v in metric.variables]


def unique(variables: list[Any]) -> list[Any]:
    """Each variable once, in order."""
    return list({id(v): v for v in variables}.values())


def on_host(variable: Any) -> Any:
    """A copy of its value, as a NumPy array."""
    return np.array(number_in(variable))
