"""LRFinder: a callback that sweeps the base rate during ``fit``, and puts everything back."""

import math
from collections import deque
from typing import TYPE_CHECKING, Any

import numpy as np

from layerwise.errors import FinderError
from layerwise.finder import (
    LRFinding,
    SearchOptions,
    Spacing,
    StopName,
    Stopped,
    StopRule,
    SweepPoints,
)
from layerwise.keras._callbacks.batch_rows import Row
from layerwise.keras._callbacks.lr_updater import LRUpdater
from layerwise.keras._finder.base_rate import group_factors
from layerwise.keras._finder.trainer import on_host, variables_of
from layerwise.keras._internals.hooks import inner_optimizer
from layerwise.keras._internals.random_states import RandomStates
from layerwise.keras._optimizer.rate_groups import groups_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class LRFinder(LRUpdater):
    """Sweeps the base learning rate during ``fit``, then stops it and puts everything back.

    With ``lr_multiplier`` the rate is multiplied by it at every update,

        rate(i) = base_lr * lr_multiplier ** i

    up to ``high``; without it the rates are those of ``layerwise.finder.SearchOptions``. The sweep
    ends when training diverges, at the last rate, or when ``fit`` does, whichever comes first;
    give ``fit`` enough epochs. With a value to search for and nothing else in mind, use
    ``layerwise.keras.find_lr``: it also tries the rates out, and its suggestion is the better one.

    When ``fit`` ends, weights, other variables, optimizer and random states are what they were
    when it began. Should ``fit`` be broken off by an exception, call ``put_back()``.

    Args:
        low: The first rate, above 0.
        high: The last rate, above ``low``.
        steps: The number of updates, at least 10.
        spacing: ``"geometric"`` or ``"linear"``.
        base_lr: Another name for ``low``.
        lr_multiplier: The factor from one rate to the next, above 1; it goes before ``steps``.
        stop: When to end early: ``"doubled"`` (the smoothed loss is over twice the first),
            ``"diverged"``, ``"never"``, or a function of the smoothed losses so far.
        smoothing: The width of the curve's smoothing in points, at least 0.
        restore: Whether to put everything back at the end; the rate is in any case.

    Attributes:
        finding: What the sweep found, by its curve alone; None before the end.

    Raises:
        FinderError: An argument that can't be honoured, or when training begins, a schedule
            inside an ``LRMultiplier``.
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
        spacing: Spacing = "geometric",
        base_lr: float | None = None,
        lr_multiplier: float | None = None,
        stop: StopName | StopRule = "doubled",
        smoothing: float = 2.0,
        restore: bool = True,
    ) -> None:
        super().__init__()
        low = low if base_lr is None else base_lr
        if lr_multiplier is None:
            options = SearchOptions(low=low, high=high, steps=steps, spacing=spacing)
            self._rates = options.rates.tolist()
        else:
            self._rates = _multiplied(low, high, lr_multiplier, spacing)
        SearchOptions(stop=stop, smoothing=smoothing)
        self._stop = stop
        self._smoothing = smoothing
        self._restore = restore
        self._kept: tuple[RandomStates, list[tuple[Any, Any]]] | None = None
        self.finding: LRFinding | None = None

    def on_train_begin(self, logs: Any = None) -> None:
        self._fetch()  # what is left of a training that was broken off
        self.put_back()
        groups = groups_of(self.model)
        if groups is not None and groups.schedule is not None:
            raise FinderError(
                "The schedule of the LRMultiplier would act on top of the sweep. Leave it out of "
                "the optimizer for the search, or use layerwise.keras.find_lr, which lifts it."
            )
        optimizer = self.model.optimizer
        accumulated = inner_optimizer(optimizer).gradient_accumulation_steps
        # An execution of several steps has one row, its last batch's.
        self._per_point = 1 if self.model.steps_per_execution > 1 else accumulated or 1
        variables = variables_of(self.model) if self._restore else optimizer.variables[:2]
        self._kept = RandomStates(), [(v, on_host(v)) for v in variables]
        self._batches, self._epochs, self.finding = {}, {}, None
        self._points = SweepPoints(self._stop, self._smoothing)
        self._part: list[float] = []
        self._begin: int | None = None
        self._places: deque[int] = deque()  # in the rates, of the batches not heard of
        self._heard = -1
        self._stopped: Stopped | None = None
        super().on_train_begin(logs)

    def update_lr(self) -> float:
        """The rate of this update."""
        if self._begin is None:
            self._begin = self.step
        self._places.append(self.step - self._begin)
        return self._rate(self._places[-1])

    def _rate(self, place: int) -> float:
        return float(self._rates[min(place, len(self._rates) - 1)])

    def receive(self, rows: list[Row]) -> None:
        super().receive(rows)
        for row in rows:
            if row["loss"] is None:
                raise FinderError(
                    f"The train_step() of {type(self._model).__name__} returns no 'loss', so "
                    "there is nothing to search by. Return {'loss': ...} from it."
                )
            place = self._places.popleft()
            if place == self._heard or self._stopped is not None:
                continue  # an update that was skipped, done once more
            self._part.append(row["loss"])
            if len(self._part) == self._per_point:
                self._add(place, sum(self._part) / len(self._part))
                self._part = []

    def _add(self, place: int, loss: float) -> None:
        self._heard = place
        if self._points.add(self._rate(place), loss):
            self._stopped = "diverged"
        elif place >= len(self._rates) - 1:
            self._stopped = "reached the upper rate"

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self._fetch()
        if self._stopped is not None:
            self.model.stop_training = True

    def on_train_end(self, logs: Any = None) -> None:
        super().on_train_end(logs)
        stopped: Stopped
        if self._stopped is not None:
            stopped = self._stopped
        else:
            stopped = "stopped by the user" if self.model.stop_training else "data ended"
        self.finding = self._points.finding(stopped, group_factors=group_factors(self.model))
        if self._stopped is not None:
            self.model.stop_training = False
        self.put_back()

    def put_back(self) -> None:
        """Make model, optimizer and random states what they were when training began.

        ``fit`` does so by itself, unless an exception ends it.
        """
        if self._kept is None:
            return
        random, values = self._kept
        for variable, value in values:
            variable.assign(value)
        if self._restore:
            random.put_back()
        self._kept = None

    def plot_loss(self, ax: "Axes | None" = None) -> "Axes":
        """Loss over the rate, with the suggestion; see ``LRFinding.plot``.

        Raises:
            FinderError: There is nothing to plot yet.
        """
        if self.finding is None:
            raise FinderError("Nothing has been swept yet: pass this callback to model.fit().")
        return self.finding.plot(ax)


def _multiplied(low: float, high: float, factor: Any, spacing: str) -> list[float]:
    """The rates from ``low`` up to ``high``, each so many times the one before."""
    SearchOptions(low=low, high=high)
    if not isinstance(factor, int | float) or not 1 < factor < math.inf:
        raise FinderError(
            f"lr_multiplier={factor!r}: the factor from one rate to the next, above 1."
        )
    if spacing != "geometric":
        raise FinderError("lr_multiplier makes a geometric sweep: leave spacing out, or it.")
    count = int(math.log(high / low) / math.log(factor) + 1e-9) + 1
    SearchOptions(low=low, high=high, steps=count)
    rates: list[float] = (low * np.power(float(factor), np.arange(count))).tolist()
    return rates
