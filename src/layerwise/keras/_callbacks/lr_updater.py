"""LRUpdater: a callback that sets the base learning rate, by a rule of one's own."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from layerwise.errors import OptimizerError, ScheduleError
from layerwise.keras._callbacks.performance_logger import PerformanceLogger
from layerwise.keras._callbacks.step_rate import StepRate, check_settable
from layerwise.keras._internals.optimizer import rate_variable
from layerwise.keras._internals.values import number_in
from layerwise.keras._optimizer.step_values import StepFunction, evaluate_on_host
from layerwise.schedules import Schedule

Rate = float | Schedule | Callable[[Any], Any]


class LRUpdater(PerformanceLogger, ABC):
    """The base class of callbacks that set the base learning rate: override ``update_lr``.

    What ``update_lr`` returns decides how it runs:

    - A *schedule*, or any callable of the step: it is the rate from then on, computed inside the
      compiled step, and ``update_lr`` is called once a training. It costs what a schedule costs.
    - A *number*: it is the rate of the next batch, and ``update_lr`` is called before each one
      (each execution, with ``steps_per_execution``). On JAX the number is put into the state
      that the step is called with, and nothing is synced; on TensorFlow and Torch it is assigned
      to the optimizer's variable. That costs tens of microseconds a batch on every backend, and
      nothing is compiled anew. What ``update_lr`` reads costs extra: ``self.batch_history`` waits
      for the batches before, and ``self.model`` makes Keras sync all weights on JAX.

    With ``LRMultiplier`` it is the base rate: multipliers and schedule multiply it. After each
    epoch, and so after training, ``optimizer.learning_rate`` has the rate of the last batch.
    Histories are kept as by ``PerformanceLogger``.

    Attributes:
        step: Optimizer updates applied so far.
        epoch: The epoch, from 0.
        lr: The base rate before this update: the optimizer's own at first, then the last set.

    Raises:
        OptimizerError: When training begins: the optimizer has a schedule for its rate already,
            or two callbacks would set it.
        ScheduleError: ``update_lr`` returned what is no learning rate.

    Examples:
        >>> import keras, numpy
        >>> from layerwise.keras.callbacks import LRUpdater
        >>> class Halving(LRUpdater):
        ...     def update_lr(self):
        ...         return self.lr / 2 if self.step else self.lr
        >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
        >>> model.compile(keras.optimizers.SGD(0.5), loss="mse")
        >>> halving = Halving()
        >>> data = numpy.ones((32, 4)), numpy.ones((32, 1))
        >>> _ = model.fit(*data, batch_size=8, verbose=0, callbacks=[halving])
        >>> halving.batch_history["lrs"]
        [0.5, 0.25, 0.125, 0.0625]

    Source: ``LR_Updater`` of DNN_Learning_Rate, a Keras 2 port of fastai's ``sgdr``.
    """

    def __init__(self) -> None:
        super().__init__()
        self.step = 0
        self.epoch = 0
        self.lr = math.nan
        self._function: StepRate | None = None

    @abstractmethod
    def update_lr(self) -> Rate:
        """The next batch's rate as a number, or all of them as a schedule or callable."""

    def on_train_begin(self, logs: Any = None) -> None:
        check_settable(self.model.optimizer)
        super().on_train_begin(logs)
        assert self._stream is not None
        if self._stream.chooser is not None:
            self._stream.leave()
            raise OptimizerError(
                "Two callbacks of this training set the base learning rate. Leave one out, or "
                "make one schedule of both: a * b."
            )
        self._stream.chooser = self._choose
        self.lr = float(number_in(rate_variable(self.model.optimizer)))

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        super().on_epoch_begin(epoch, logs)
        self.epoch = epoch

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        super().on_epoch_end(epoch, logs)
        if self._stream is not None and self._stream.schedule is not None and self._batches:
            rate_variable(self.model.optimizer).assign(self._batches["lrs"][-1])

    def _choose(self, step: int, rate: float | None) -> float | StepRate:
        """What the tap asks before a batch."""
        self.step = step
        if rate is not None:
            self.lr = rate
        chosen = self.update_lr()
        if isinstance(chosen, Schedule) or callable(chosen):
            return self._compiled(chosen)
        try:
            number = float(chosen)
        except (TypeError, ValueError):
            number = math.nan
        self._check(number, chosen)
        self.lr = number
        return number

    def _compiled(self, chosen: Schedule | Callable[[Any], Any]) -> StepRate:
        place = f"{type(self).__name__}.update_lr()"
        value: Schedule | StepFunction
        if isinstance(chosen, Schedule):
            value, now = chosen, evaluate_on_host(chosen, self.step)
        else:
            value = StepFunction(chosen, place)
            now = evaluate_on_host(value.unbounded, self.step)
        self._check(now, chosen)
        known = self._function
        optimizer = self.model.optimizer
        same = known is not None and (
            known.value == value or getattr(known.value, "function", None) is chosen
        )
        if known is None or not same or not known.fits(optimizer):
            known = self._function = StepRate(value, optimizer)
        return known

    def _check(self, number: float, chosen: object) -> None:
        if not (math.isfinite(number) and number >= 0):
            raise ScheduleError(
                f"{type(self).__name__}.update_lr() gave {chosen!r} at step {self.step}; it "
                "returns a learning rate, finite and at least 0, or a schedule of them."
            )
