"""LRFinder: a callback that sweeps the base rate during ``fit``, and puts everything back."""

import math
from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

import numpy as np

from layerwise._checks import number
from layerwise.errors import FinderError
from layerwise.finder import LRFinding, SearchOptions, Stopped, StopRule, SweepPoints
from layerwise.keras._callbacks.lr_updater import LRUpdater
from layerwise.keras._finder.base_rate import group_factors
from layerwise.keras._finder.restore import VariableSnapshot, variables_of
from layerwise.keras._internals.optimizer import batch_count, batches_per_update, rate_variable
from layerwise.keras._internals.random_states import RandomStates
from layerwise.keras._optimizer.rate_groups import groups_of
from layerwise.recorder import BatchRow

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class LRFinder(LRUpdater):
    r"""Sweeps the base learning rate during ``fit``, then stops it and puts everything back.

    With ``lr_multiplier`` the rate of update $i$, counted from 0, is

    $$\text{base\_lr} \cdot \text{lr\_multiplier}^i$$

    up to ``high``; without it the rates are those of ``layerwise.finder.SearchOptions``. The sweep
    ends when training diverges, at the last rate, or with ``fit``, whichever comes first; give
    ``fit`` enough epochs. Without a reason to prefer a callback, use ``layerwise.keras.find_lr``:
    it also tries rates out, and its suggestion is the better one.

    When ``fit`` ends, weights, other variables, optimizer and random states are what they were
    when it began. If an exception ends ``fit``, call ``put_back()``.

    Args:
        low: The first rate, above 0.
        high: The last rate, above ``low``.
        steps: The number of updates, at least 10.
        spacing: ``"geometric"`` or ``"linear"``.
        base_lr: Another name for ``low``, that of the original callback.
        lr_multiplier: The growth from one rate to the next, a factor above 1, by the name that it
            has in the original callback; elsewhere in Layerwise this word means the multiplier of
            a layer. It takes the place of ``steps``.
        stop: When to end early: ``"doubled"`` (the smoothed loss is over twice the first),
            ``"diverged"``, ``"never"``, or a function of the smoothed losses so far.
        smoothing: The width of the curve's smoothing in points, at least 0.
        restore: Whether to put everything back at the end; the rate is put back in any case.

    Attributes:
        finding: What the sweep found, from its curve alone; None before the end.

    Raises:
        FinderError: An argument is out of its range; or when training begins, the ``LRMultiplier``
            has a schedule.
        OptimizerError: When training begins: the rate is a schedule, or another callback sets it.

    Examples:
        >>> import keras, numpy
        >>> from layerwise.keras.callbacks import LRFinder
        >>> random = numpy.random.default_rng(0)
        >>> x = random.normal(size=(64, 8)).astype("float32")
        >>> model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(1)])
        >>> model.compile(keras.optimizers.SGD(), loss="mse")
        >>> finder = LRFinder(base_lr=1e-4, lr_multiplier=1.2)
        >>> y = x.sum(axis=1, keepdims=True)
        >>> _ = model.fit(x, y, epochs=100, verbose=0, callbacks=[finder])
        >>> finder.finding.stopped
        'diverged'
        >>> len(finder.batch_history["lrs"]) == len(finder.batch_history["loss"])
        True

    Source: ``LR_Finder`` of DNN_Learning_Rate; L. N. Smith, *Cyclical Learning Rates for Training
    Neural Networks* (2017).
    """

    def __init__(
        self,
        low: float = 1e-7,
        high: float = 10.0,
        steps: int = 100,
        *,
        spacing: Literal["geometric", "linear"] = "geometric",
        base_lr: float | None = None,
        lr_multiplier: float | None = None,
        stop: Literal["diverged", "doubled", "never"] | StopRule = "doubled",
        smoothing: float = 2.0,
        restore: bool = True,
    ) -> None:
        super().__init__()
        low = low if base_lr is None else base_lr
        options = SearchOptions(
            low=low, high=high, steps=steps, spacing=spacing, stop=stop, smoothing=smoothing
        )
        if lr_multiplier is None:
            self._rates = options.rates.tolist()
        else:
            self._rates = _growing_rates(options, lr_multiplier)
        self._options = options
        self._restore = restore
        self._before: tuple[RandomStates, VariableSnapshot] | None = None
        self.finding: LRFinding | None = None

    def on_train_begin(self, logs: Mapping[str, object] | None = None) -> None:
        self._fetch()  # the rows left over from a training that an exception ended
        self.put_back()
        model, optimizer = self.model, self.model.optimizer
        groups = groups_of(model)
        if groups is not None and groups.schedule is not None:
            raise FinderError(
                "The schedule of the LRMultiplier would act on top of the sweep. Make the "
                "optimizer without it for the search, or use layerwise.keras.find_lr, which "
                "leaves it out meanwhile."
            )
        # An execution of several steps has one row, that of its last batch.
        several = model.steps_per_execution > 1
        self._per_point = 1 if several else batches_per_update(optimizer)
        few = [batch_count(optimizer), rate_variable(optimizer)]
        variables = variables_of(model) if self._restore else few
        self._before = RandomStates(), VariableSnapshot(variables)
        self._batches, self._epochs, self.finding = {}, {}, None
        self._points = SweepPoints(self._options.stop, self._options.smoothing)
        self._losses: list[float] = []  # of the update that is not complete
        self._first_step: int | None = None
        self._asked: deque[int] = deque()  # the places in the rates whose batches have no row yet
        self._last = -1
        self._stopped: Stopped | None = None
        self._model_name = type(model).__name__
        super().on_train_begin(logs)

    def update_lr(self) -> float:
        """The rate of this update."""
        if self._first_step is None:
            self._first_step = self.step
        self._asked.append(self.step - self._first_step)
        return self._rate(self._asked[-1])

    def _rate(self, place: int) -> float:
        return float(self._rates[min(place, len(self._rates) - 1)])

    def receive(self, rows: list[BatchRow]) -> None:
        super().receive(rows)
        for row in rows:
            loss = row["loss"]
            if loss is None:
                raise FinderError(
                    f"The train_step() of {self._model_name} returns no 'loss', so there is "
                    "nothing to search by. Return {'loss': ...} from it."
                )
            place = self._asked.popleft()
            if place == self._last or self._stopped is not None:
                continue  # an update that was skipped is tried again
            self._losses.append(float(loss))
            if len(self._losses) == self._per_point:
                self._add(place, sum(self._losses) / len(self._losses))
                self._losses = []

    def _add(self, place: int, loss: float) -> None:
        self._last = place
        if self._points.add(self._rate(place), loss):
            self._stopped = "diverged"
        elif place >= len(self._rates) - 1:
            self._stopped = "reached the upper rate"

    def on_train_batch_end(self, batch: int, logs: Mapping[str, object] | None = None) -> None:
        self._fetch()
        if self._stopped is not None:
            self.model.stop_training = True

    def on_train_end(self, logs: Mapping[str, object] | None = None) -> None:
        super().on_train_end(logs)
        factors = group_factors(self.model)
        if self._stopped is not None:
            self.model.stop_training = False
        elif self.model.stop_training:
            self._stopped = "stopped by the user"
        self.finding = self._points.finding(self._stopped or "data ended", group_factors=factors)
        self.put_back()

    def put_back(self) -> None:
        """Make model, optimizer and random states what they were when training began.

        ``fit`` does so by itself, unless an exception ends it.
        """
        if self._before is None:
            return
        random, values = self._before
        values.put_back()
        if self._restore:
            random.put_back()
        self._before = None

    def plot_loss(self, ax: "Axes | None" = None) -> "Axes":
        """Loss over the rate, with the suggestion; see ``LRFinding.plot``.

        Raises:
            FinderError: There is nothing to plot yet.
        """
        if self.finding is None:
            raise FinderError("Nothing has been swept yet: pass this callback to model.fit().")
        return self.finding.plot(ax)


def _growing_rates(options: SearchOptions, growth: float) -> list[float]:
    """The rates from ``low`` up to ``high``, each ``growth`` times the one before."""
    growth = number(growth, "lr_multiplier", FinderError, above=1.0)
    if options.spacing != "geometric":
        raise FinderError(
            "lr_multiplier makes a geometric sweep: leave out either it or spacing='linear'."
        )
    count = int(math.log(options.high / options.low) / math.log(growth) + 1e-9) + 1
    SearchOptions(low=options.low, high=options.high, steps=count)
    rates: list[float] = (options.low * np.power(growth, np.arange(count))).tolist()
    return rates
