"""Callbacks that set the base learning rate: ``LRUpdater`` by a rule, ``CircularLR`` in cycles."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping

from layerwise.errors import OptimizerError, ScheduleError
from layerwise.keras._callbacks.batch_stream import RateRule
from layerwise.keras._callbacks.performance_logger import PerformanceLogger
from layerwise.keras._callbacks.step_rate import StepRate
from layerwise.keras._internals.optimizer import rate_variable
from layerwise.keras._internals.values import number_in
from layerwise.schedules import cyclic


class RateCallback(PerformanceLogger, ABC):
    """A callback that sets the base rate of every batch, and keeps histories."""

    @abstractmethod
    def _rate_rule(self) -> StepRate | RateRule:
        """What gives the rate in the training that begins."""

    def on_train_begin(self, logs: Mapping[str, object] | None = None) -> None:
        if rate_variable(self.model.optimizer) is None:
            raise OptimizerError(
                f"The learning rate of {self.model.optimizer.name!r} is a schedule or function, "
                "so a callback can't set it. Give the optimizer a number, or leave the callback "
                "out."
            )
        super().on_train_begin(logs)
        assert self._stream is not None
        self._stream.set_rate_by(self._rate_rule())


class LRUpdater(RateCallback):
    """The base class of callbacks that set the base learning rate: override ``update_lr``.

    ``update_lr`` is called before each batch (each execution, with ``steps_per_execution``) and
    returns a number, the rate of this batch. Setting it costs tens of microseconds a batch on every
    backend, and nothing is compiled again. What ``update_lr`` reads costs extra:
    ``self.batch_history`` waits for the batches before, and ``self.model`` makes Keras copy all
    weights on JAX.

    A rate that depends on nothing but the step needs no callback: give the optimizer a schedule,
    ``keras.optimizers.Adam(LearningRateSchedule(schedule))``. It is computed inside the compiled
    step and costs next to nothing.

    With ``LRMultiplier`` the rate is the base rate: multipliers and schedule multiply it. After
    each epoch, and so after training, ``optimizer.learning_rate`` has the rate of the last batch.
    Histories are kept as by ``PerformanceLogger``.

    Attributes:
        step: Optimizer updates applied so far.
        epoch: The epoch, from 0.
        lr: The base rate before this update: the optimizer's at first, then the last one set.

    Raises:
        OptimizerError: When training begins: the optimizer has a schedule for its rate already,
            or two callbacks would set it.
        ScheduleError: ``update_lr`` returned something other than a learning rate.

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

    @abstractmethod
    def update_lr(self) -> float:
        """The rate of the next batch."""

    def on_train_begin(self, logs: Mapping[str, object] | None = None) -> None:
        super().on_train_begin(logs)
        self.lr = float(number_in(rate_variable(self.model.optimizer)))

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, object] | None = None) -> None:
        super().on_epoch_begin(epoch, logs)
        self.epoch = epoch

    def _rate_rule(self) -> RateRule:
        return self._next_rate

    def _next_rate(self, step: int, rate: float | None) -> float:
        """What the stream of batches asks before each of them."""
        self.step = step
        if rate is not None:
            self.lr = rate
        chosen: object = self.update_lr()
        place = f"{type(self).__name__}.update_lr()"
        if callable(chosen):
            raise ScheduleError(
                f"{place} returned {chosen!r}, and must return a number, the rate of the next "
                "batch. Give a schedule to the optimizer instead of a callback: "
                "keras.optimizers.Adam(LearningRateSchedule(schedule)); "
                "layerwise.from_function(f) makes a schedule of a function."
            )
        try:
            self.lr = float(chosen)  # type: ignore[arg-type]  # tried, whatever it is
        except (TypeError, ValueError):
            self.lr = math.nan
        if not (math.isfinite(self.lr) and self.lr >= 0):
            raise ScheduleError(
                f"{place} must return a finite learning rate of at least 0, got {chosen!r} at "
                f"step {self.step}."
            )
        return self.lr


class CircularLR(RateCallback):
    r"""Cyclical learning rates as a callback, for any optimizer; histories of every batch.

    The rate rises in a straight line from ``base_lr`` to a peak in ``step_size`` steps, and falls
    back in as many. Cycle $k$ has the peak

    $$\max(\text{max\_lr} \cdot \text{decay}^{\lfloor k / \text{decay\_freq} \rfloor},
    \text{base\_lr})$$

    It is ``layerwise.cyclic``, evaluated inside the compiled step from the optimizer's count of
    updates: a training that is resumed goes on in the middle of its cycle.

    Args:
        step_size: Half a cycle, in optimizer updates, at least 1.
        base_lr: The lower bound, at least 0.
        max_lr: The upper bound of the first cycle, at least ``base_lr``.
        decay: The factor on the upper bound every ``decay_freq`` cycles; None keeps it.
        decay_type: How it decays; ``"exp"``, the only one, is the formula above.
        decay_freq: Cycles from one decay to the next, at least 1.

    Raises:
        ScheduleError: A bound, size or decay is out of its range, or ``decay_type`` is unknown.
        OptimizerError: When training begins: the optimizer has a schedule for its rate already,
            or two callbacks would set it.

    Examples:
        >>> import keras, numpy
        >>> from layerwise.keras.callbacks import CircularLR
        >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
        >>> model.compile("adam", loss="mse")
        >>> clr = CircularLR(step_size=2, base_lr=0.01, max_lr=0.05, decay=0.6, decay_type="exp")
        >>> data = numpy.ones((64, 4)), numpy.ones((64, 1))
        >>> _ = model.fit(*data, batch_size=8, verbose=0, callbacks=[clr])
        >>> [round(lr, 3) for lr in clr.batch_history["lrs"]]
        [0.01, 0.03, 0.05, 0.03, 0.01, 0.02, 0.03, 0.02]

    Source: ``CircularLR`` of DNN_Learning_Rate; Smith 2017, "Cyclical Learning Rates for Training
    Neural Networks", https://arxiv.org/abs/1506.01186.
    """

    def __init__(  # noqa: PLR0917 (the order of the seed's arguments)
        self,
        step_size: int,
        base_lr: float,
        max_lr: float,
        decay: float | None = None,
        decay_type: str = "exp",
        decay_freq: int = 1,
    ) -> None:
        super().__init__()
        if decay_type != "exp":
            raise ScheduleError(
                f"decay_type={decay_type!r} is not known, only 'exp': each time the upper bound "
                "is multiplied by decay. For another one, override LRUpdater.update_lr()."
            )
        self.schedule = cyclic(step_size, base_lr, max_lr, decay=decay, decay_freq=decay_freq)
        self._step_rate: StepRate | None = None

    def _rate_rule(self) -> StepRate:
        # The same object in every training, or each would compile its step again.
        if self._step_rate is None or not self._step_rate.fits(self.model.optimizer):
            self._step_rate = StepRate(self.schedule, self.model.optimizer)
        return self._step_rate

    def on_epoch_end(self, epoch: int, logs: Mapping[str, object] | None = None) -> None:
        super().on_epoch_end(epoch, logs)
        rate = rate_variable(self.model.optimizer)
        if self._batches and rate is not None:
            rate.assign(self._batches["lrs"][-1])
