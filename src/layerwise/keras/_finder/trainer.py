"""KerasTrainer: a model and its optimizer, trained one update at a time for a search.

It calls the model's train function, so that the user's ``train_step``, losses and metrics count. It
only changes the state around the call: the base rate is set, and the mean that Keras keeps of the
loss is reset before each batch, so that it gives the loss of this batch.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TypeAlias

import keras
import numpy as np
import numpy.typing as npt

from layerwise.errors import FinderError, LayerwiseError
from layerwise.keras._finder.attributes import AttributeSnapshot
from layerwise.keras._finder.batches import unfit_batch
from layerwise.keras._finder.restore import VariableSnapshot, host_value, unique
from layerwise.keras._internals.data import on_one_replica
from layerwise.keras._internals.layer import layers_within
from layerwise.keras._internals.optimizer import batch_count, inner_optimizer, rate_variable
from layerwise.keras._internals.random_states import RandomStates, TorchGenerator
from layerwise.keras._internals.tensorflow import on_each_replica
from layerwise.keras._internals.train_function import TrainFunction
from layerwise.keras._internals.trainer import has_own_train_step, parts_built_by_fit
from layerwise.keras._internals.values import Tensor

_ATTEMPTS = 40  # a loss scale can't be halved more often before float32 ends

Moved: TypeAlias = Callable[[keras.Variable, Tensor], Tensor]

Snapshot = tuple[RandomStates, AttributeSnapshot, VariableSnapshot]


class KerasTrainer(ABC):
    """What the trainers have in common; see ``layerwise.finder.Trainer``.

    Args:
        model: A compiled and built model whose base rate is in a variable.
        on_host: Whether the copy of the state is kept in the host's memory.
        generators: Random generators of PyTorch that belong to the data.
        factors: A variable of the optimizer with factors on the base rate, if there is one.
    """

    def __init__(
        self,
        model: keras.Model,
        on_host: bool,
        generators: tuple[TorchGenerator, ...],
        factors: keras.Variable | None = None,
    ) -> None:
        self.model = model
        self.on_host = on_host
        self.generators = generators
        self.scales_loss = inner_optimizer(model.optimizer) is not model.optimizer
        self.rate: keras.Variable = rate_variable(model.optimizer)
        self.inputs = [self.rate, *([] if factors is None else [factors])]
        self.count = batch_count(model.optimizer)
        self.trackers = on_each_replica(model, unique(_loss_trackers(model)))
        self.reset_values = self._reset_values()
        self.begun = False

    def _reset_values(self) -> list[npt.NDArray[np.generic]]:
        """What the variables of the loss trackers hold after a reset."""
        metrics = unique(self.model.metrics_variables)
        before = VariableSnapshot(on_each_replica(self.model, metrics))
        try:
            self.model.reset_metrics()
            return [host_value(v) for v in self.trackers]
        finally:
            before.put_back()

    def train(
        self, batch: Sequence[object], rate: float, factors: Sequence[float] | None = None
    ) -> float:
        """Apply one update on the batches of a list; returns the mean of their losses."""
        first = not self.begun
        if first:
            self.begun = True
            self._begin(len(batch))
        self._set_inputs([rate, *([] if factors is None else [factors])])
        losses = []
        for part in batch:
            for _ in range(_ATTEMPTS):
                count = self._count() if self.scales_loss else None
                loss = self._loss_of(self._first_on(part) if first else self._train_on(part))
                if count is None or self._count() != count:
                    break
            else:
                return math.nan
            losses.append(loss)
        return sum(losses) / len(losses)

    def _first_on(self, batch: object) -> object:
        """Train on the first batch, where a model may turn out not to take such batches."""
        try:
            return self._train_on(batch)
        except LayerwiseError:
            raise
        except Exception as error:
            if has_own_train_step(self.model):
                raise
            raise unfit_batch(self.model, on_one_replica(batch), error) from error

    def restore(self, state: Snapshot) -> None:
        """See ``layerwise.finder.Trainer``."""
        random, attributes, values = state
        attributes.put_back()
        if self.begun:
            values.put_back()
        random.put_back()
        self.begun = False

    def _attributes(self, known: Sequence[keras.Variable]) -> AttributeSnapshot:
        """What the model, its layers and its optimizer keep beside these variables."""
        objects = [*parts_built_by_fit(self.model), *layers_within(self.model)]
        return AttributeSnapshot(objects, known)

    def _loss_of(self, logs: object, step: str = "train_step") -> float:
        if not isinstance(logs, dict) or "loss" not in logs:
            raise FinderError(
                f"The {step}() of {self.model.name!r} returns no 'loss', so there is nothing "
                "to search by. Return {'loss': ...} from it."
            )
        loss = np.asarray(keras.ops.convert_to_numpy(logs["loss"]))
        check_scalar(self.model, loss.shape)
        return float(loss)

    # -- what the backends do differently -------------------------------------------------------

    @abstractmethod
    def snapshot(self) -> Snapshot:
        """See ``layerwise.finder.Trainer``."""

    @abstractmethod
    def _begin(self, per_update: int) -> None:
        """Start from the snapshot, without the gradients of an update that is not complete.

        Args:
            per_update: How many batches make one update.
        """

    @abstractmethod
    def score(self, test: TrainFunction, batches: Sequence[object], moved: Moved | None) -> float:
        """The mean loss of batches, from the model's test step; nothing changes.

        Args:
            test: The test function.
            batches: The batches.
            moved: Gives the value to use for a weight, from the weight and its present value.
        """

    @abstractmethod
    def _set_inputs(self, values: Sequence[float | Sequence[float]]) -> None:
        """Set the variables in ``inputs`` for the steps to come."""

    @abstractmethod
    def _count(self) -> int:
        """How many batches the optimizer has counted."""

    @abstractmethod
    def _train_on(self, batch: object) -> object:
        """Train on one batch; returns Keras' logs."""


def check_scalar(model: keras.Model, shape: tuple[int, ...]) -> None:
    """Raise unless a loss of this shape is a single number.

    Raises:
        FinderError: It is not.
    """
    if shape:
        raise FinderError(
            f"The loss of {model.name!r} has the shape {tuple(shape)}, and a search needs one "
            "number for each batch: give the loss a reduction, such as "
            "reduction='sum_over_batch_size', or return its mean from compute_loss()."
        )


def _loss_trackers(model: keras.Model) -> list[keras.Variable]:
    """The variables of the metrics named ``loss``; of all metrics if there is none."""
    named = [metric for metric in model.metrics if metric.name == "loss"]
    return [v for metric in named or model.metrics for v in metric.variables]
