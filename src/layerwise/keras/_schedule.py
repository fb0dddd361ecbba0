"""A Layerwise schedule where Keras takes a learning-rate schedule."""

from collections.abc import Mapping
from typing import Any, Self, TypeVar

import keras
from keras import ops

from layerwise.errors import OptimizerError, ScheduleError
from layerwise.keras._internals.values import Step, Tensor
from layerwise.keras._registered_functions import RegisteredFunctions
from layerwise.schedules import Schedule, plateaus_in

Rate = TypeVar("Rate")


@keras.saving.register_keras_serializable(package="layerwise")
class LearningRateSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """A Layerwise schedule as a schedule of Keras, for any optimizer.

    Its value is the learning rate itself, so scale a factor first: ``cosine(1000) * 3e-4``.
    Keras counts every batch as a step here, even under gradient accumulation; inside
    ``LRMultiplier`` a step is an applied update.

    Args:
        schedule: A Layerwise schedule whose values are learning rates.

    Returns:
        A ``keras.optimizers.schedules.LearningRateSchedule`` that is saved with the model.

    Raises:
        ScheduleError: ``schedule`` is not a Layerwise schedule, a metric moves it, or it counts
            something other than updates.

    Examples:
        >>> import keras
        >>> from layerwise import warmup, cosine
        >>> from layerwise.keras import LearningRateSchedule
        >>> rate = LearningRateSchedule((warmup(10) >> cosine(90)) * 1e-3)
        >>> optimizer = keras.optimizers.Adam(rate)
        >>> round(float(rate(5)), 6)
        0.0005

    Source: ``keras.optimizers.schedules.LearningRateSchedule`` (Keras 3).
    """

    def __init__(self, schedule: Schedule) -> None:
        if not isinstance(schedule, Schedule):
            raise ScheduleError(
                f"LearningRateSchedule takes a Layerwise schedule, not {schedule!r}; "
                "make one of a function with layerwise.from_function(f)."
            )
        if plateaus_in([schedule]):
            raise ScheduleError(
                f"{schedule!r} is moved by a metric, which a LearningRateSchedule does not see. "
                "Give it to LRMultiplier(optimizer, schedule=...), and fit() ReportMetrics()."
            )
        if schedule.counters:
            raise ScheduleError(
                f"{schedule!r} counts {' and '.join(sorted(schedule.counters))}, and Keras tells a "
                "LearningRateSchedule the batches alone. Give it to LRMultiplier(optimizer, "
                "schedule=...), and fit() a Counter."
            )
        self.schedule = schedule

    def __call__(self, step: Step) -> Tensor:
        """The learning rate at a step: a scalar tensor of the backend."""
        rate: Tensor = ops.cast(self.schedule(ops.convert_to_tensor(step)), keras.backend.floatx())
        return rate

    def get_config(self) -> dict[str, object]:
        """The schedule as plain data."""
        return {"schedule": self.schedule.to_config()}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """The schedule that ``get_config`` described."""
        return cls(Schedule.from_config(config["schedule"], functions=RegisteredFunctions()))


def as_learning_rate(value: Rate) -> Rate | LearningRateSchedule:
    """What Keras takes as a learning rate: a Layerwise schedule is wrapped for it."""
    return LearningRateSchedule(value) if isinstance(value, Schedule) else value


def rate_error(optimizer: str, value: object) -> OptimizerError:
    """The error for what can't be the learning rate of the optimizer of this name."""
    hint = (
        " If this is a finding's suggestion: finding.reason says why there is none, and "
        "finding.rate_or(1e-3) is the suggestion or else that rate."
    )
    return OptimizerError(
        f"The learning rate of {optimizer!r} must be a number, a schedule or a callable without "
        f"arguments, got {value!r}.{hint if value is None else ''}"
    )
