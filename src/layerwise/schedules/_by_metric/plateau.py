"""plateau: the decision that a metric no longer gets better, a function of its history."""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any, SupportsFloat

from layerwise._checks import choice, number, text, whole
from layerwise._text import shown
from layerwise.errors import ScheduleError
from layerwise.schedules._config import BUILT_IN, Configurable
from layerwise.schedules._schedule import arguments_text

# Metrics of which more is better, by how people name them; their mode has to be said.
_MORE_IS_BETTER = re.compile(r"(^|[_/.\W])(acc|auc|f1|precision|recall|iou|bleu|rouge|r2)", re.I)


@dataclass(frozen=True)
class PlateauState:
    """How far a ``plateau`` has come.

    Attributes:
        best: The best value so far; None before the first report.
        waited: Reports in a row that were no better.
        resting: Reports still to come that count as nothing, since it has just fired.
        fired: How often it has fired.

    Examples:
        >>> from layerwise.schedules import plateau
        >>> plateau("val_loss", patience=2).after(plateau("val_loss").start(), 0.5)
        PlateauState(best=0.5, waited=0, resting=0, fired=0)
    """

    best: float | None = None
    waited: int = 0
    resting: int = 0
    fired: int = 0


@dataclass(frozen=True, repr=False)
class plateau(Configurable):
    r"""The decision that a metric has stopped getting better.

    It *fires* at the report that is the ``patience``-th in a row that is no better than the best so
    far, and then begins to wait again. It is a pure function of the metric's history, and the same
    on every framework. A value that is NaN is no better.

    A value $v$ is better than the best $b$ if $v < b - \text{min\_delta}$, or with ``relative``
    if $v < b \cdot (1 - \text{min\_delta})$; in mode ``"max"`` likewise with $>$ and $+$.

    Args:
        metric: The metric's name, as it is reported: ``"val_loss"``.
        patience: Reports in a row that are no better, at least 1. ``EarlyStopping`` of Keras and
            Lightning and Keras' ``ReduceLROnPlateau`` count alike; PyTorch's ``ReduceLROnPlateau``
            waits for one more.
        mode: ``"min"`` or ``"max"``. None is ``"min"``, and an error for a metric such as
            ``"val_accuracy"``, of which more is better.
        min_delta: What counts as no better, at least 0.
        relative: Whether ``min_delta`` is a share of the size of the best value. (PyTorch takes
            the share of the value itself, by which of negative values worse ones count as better.)
        cooldown: Reports after it has fired that don't count as waiting, at least 0. Keras'
            ``ReduceLROnPlateau`` has one less.
        restore_best: Whether the weights of the best report are restored when it fires.

    Raises:
        ScheduleError: An argument is out of its range.

    Examples:
        >>> from layerwise.schedules import plateau
        >>> plateau("val_loss", patience=2).firings([1.0, 0.8, 0.9, 0.8, 0.7, 0.7, 0.7])
        [3, 6]

    Source: ``torch.optim.lr_scheduler.ReduceLROnPlateau``, whose formulas these are, except for the
    patience.
    """

    metric: str
    patience: int = 10
    mode: str | None = None
    min_delta: float = 0.0
    relative: bool = False
    cooldown: int = 0
    restore_best: bool = False

    def __post_init__(self) -> None:
        for name, value in checked_fields(self, "plateau").items():
            object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        return f"plateau({arguments_text(self, fields(self))})"

    def start(self) -> PlateauState:
        """The state before the first report."""
        return PlateauState()

    def after(self, state: PlateauState, value: SupportsFloat) -> PlateauState:
        """The state after one more report; ``fired`` is one more if it fires there.

        Args:
            state: The state before.
            value: The metric.
        """
        found = float(value)
        best, waited = state.best, state.waited + 1
        if self.is_better(found, best):
            best, waited = found, 0
        resting = state.resting
        if resting:
            resting, waited = resting - 1, 0
        if waited < self.patience:
            return PlateauState(best, waited, resting, state.fired)
        return PlateauState(best, 0, self.cooldown, state.fired + 1)

    def is_better(self, value: float, best: float | None) -> bool:
        """Whether a value is better than the best so far; the first number is."""
        if math.isnan(value):
            return False
        if best is None:
            return math.isfinite(value)
        delta = self.min_delta * abs(best) if self.relative else self.min_delta
        if self.mode == "max":
            return value > best + delta
        return value < best - delta

    def firings(self, history: Iterable[SupportsFloat]) -> list[int]:
        """The places in a metric's history at which it fires, counted from 0."""
        state, found = self.start(), []
        for place, value in enumerate(history):
            now = self.after(state, value)
            if now.fired > state.fired:
                found.append(place)
            state = now
        return found


BUILT_IN[plateau.__name__] = plateau


def checked_fields(given: Any, what: str) -> dict[str, object]:
    """The fields of a plateau, checked.

    Args:
        given: A plateau, or what has the same fields.
        what: Its name, for the message.

    Raises:
        ScheduleError: A field is out of its range.
    """
    error = ScheduleError
    metric = text(given.metric, f"{what}: metric", error)
    mode = choice(given.mode, f"{what}: mode", error, (None, "min", "max"))
    if mode is None and _MORE_IS_BETTER.search(metric):
        raise ScheduleError(
            f"{what}: mode must be given for {shown(metric)}: 'max' if more is better, or else "
            "'min'."
        )
    delta = number(given.min_delta, f"{what}: min_delta", error)
    if given.relative and delta >= 1:
        raise ScheduleError(
            f"{what}: min_delta must be below 1 if it is relative, got {given.min_delta!r}."
        )
    return {
        "metric": metric,
        "patience": whole(given.patience, f"{what}: patience", error, at_least=1),
        "mode": mode,
        "min_delta": delta,
        "relative": choice(given.relative, f"{what}: relative", error, (False, True)),
        "cooldown": whole(given.cooldown, f"{what}: cooldown", error),
        "restore_best": choice(given.restore_best, f"{what}: restore_best", error, (False, True)),
    }
