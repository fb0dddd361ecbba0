"""StepRate: the base rate as a function of the step, evaluated inside the compiled step."""

import keras
from keras import ops

from layerwise.keras._internals.optimizer import batches_per_update
from layerwise.keras._optimizer.step_values import evaluate
from layerwise.schedules import Schedule


class StepRate(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate as a function of the updates applied, in place of an optimizer's own.

    Args:
        value: A schedule whose values are learning rates.
        optimizer: The optimizer, whose count of batches it is called with.
    """

    def __init__(self, value: Schedule, optimizer: keras.optimizers.Optimizer) -> None:
        self.value = value
        self._per_update = batches_per_update(optimizer)

    def fits(self, optimizer: keras.optimizers.Optimizer) -> bool:
        """Whether another optimizer makes its updates of as many batches."""
        return self._per_update == batches_per_update(optimizer)

    def __call__(self, batches: object) -> keras.KerasTensor:
        """The rate after this number of batches."""
        rate = evaluate(self.value, ops.floor_divide(batches, self._per_update))
        return ops.cast(rate, keras.backend.floatx())
