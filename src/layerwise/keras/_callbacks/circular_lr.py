"""CircularLR: the base learning rate goes up and down, under a fixed or a decaying bound."""

from layerwise.errors import ScheduleError
from layerwise.keras._callbacks.lr_updater import LRUpdater
from layerwise.schedules import Schedule, cyclic


class CircularLR(LRUpdater):
    r"""Cyclical learning rates as a callback, for any optimizer; histories of every batch.

    The rate rises in a straight line from ``base_lr`` to a peak in ``step_size`` steps, and falls
    back in as many. Cycle $k$ has the peak

    $$\max(\text{max\_lr} \cdot \text{decay}^{\lfloor k / \text{decay\_freq} \rfloor},
    \text{base\_lr})$$

    It is ``layerwise.cyclic``, evaluated inside the compiled step from the optimizer's own count
    of updates: a resumed training goes on in the middle of its cycle.

    Args:
        step_size: Half a cycle, in optimizer updates.
        base_lr: The lower bound.
        max_lr: The upper bound of the first cycle.
        decay: The factor on the upper bound every ``decay_freq`` cycles; None: it stays.
        decay_type: How it decays; ``"exp"``, the only one, is the formula above.
        decay_freq: Cycles from one decay to the next.

    Raises:
        ScheduleError: A bound, size or decay that can't be honoured, or another ``decay_type``.

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

    def __init__(  # noqa: PLR0917 (the seed's own order)
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

    def update_lr(self) -> Schedule:
        """The cycles, as a schedule of the rate itself."""
        return self.schedule
