"""One row: the arguments of ``Recorder.log``, checked and made plain numbers."""

import time as clock
from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple, SupportsFloat, SupportsIndex, TypeAlias

from layerwise._checks import whole
from layerwise._text import shown
from layerwise.errors import RecorderError
from layerwise.recorder._format import EPOCH, LOSS, NO_METRICS, RATE, RATES, RATIOS, STEP, TIME

Numbers: TypeAlias = Mapping[str, SupportsFloat]


class Shape(NamedTuple):
    """Which columns a row has. Rows of one shape share one line of columns."""

    kind: str
    fixed: tuple[str, ...]
    metrics: tuple[str, ...]
    rates: tuple[str, ...]
    ratios: tuple[str, ...]

    def columns(self) -> tuple[str, ...]:
        """The names of the columns.

        Raises:
            RecorderError: Two columns would have one name, or a name is not text.
        """
        for name in (*self.metrics, *self.rates, *self.ratios):
            if not isinstance(name, str):
                raise RecorderError(
                    f"The name of a metric, group or layer must be text, got {shown(name)}."
                )
        names = (
            *self.fixed,
            *self.metrics,
            *(RATES + name for name in self.rates),
            *(RATIOS + name for name in self.ratios),
        )
        taken = NO_METRICS & set(self.metrics)
        twice = sorted(taken or [name for name, count in Counter(names).items() if count > 1])
        if twice:
            raise RecorderError(
                f"The record already has a column {shown(twice[0])}. Give that metric another name."
            )
        return names


def metric_columns(metrics: Numbers) -> dict[str, SupportsFloat]:
    """Name metrics that somebody else has named, so that none takes a column of the record's own.

    Args:
        metrics: Metrics by name, as a trainer logs them.

    Returns:
        The same with ``metric/`` before such a name.

    Examples:
        >>> from layerwise.recorder import metric_columns
        >>> metric_columns({"accuracy": 0.5, "step": 3.0})
        {'accuracy': 0.5, 'metric/step': 3.0}
    """
    return {_free(name): value for name, value in metrics.items()}


def _free(name: str) -> str:
    own = name in NO_METRICS or name.startswith((RATES, RATIOS))
    return f"metric/{name}" if own else name


class Row(NamedTuple):
    """A row's shape, and its numbers in the order of the columns."""

    shape: Shape
    values: list[float]


class Given(NamedTuple):
    """The arguments of ``Recorder.log``, in its order, as they were given."""

    step: SupportsIndex | None = None
    epoch: SupportsIndex | None = None
    loss: SupportsFloat | None = None
    metrics: Numbers | None = None
    rate: SupportsFloat | None = None
    rates: Numbers | None = None
    ratios: Numbers | None = None
    time: float | None = None


def make_row(kind: str, started: float, given: Given) -> Row:
    """Check the arguments of a row, and make them plain numbers.

    The kind is ``batch`` or ``epoch``. The row's time counts from ``started``, when the record was
    begun, in Unix seconds.

    Raises:
        RecorderError: A step or epoch is no whole number of at least 0, or a value no number.
    """
    step, epoch, loss, metrics, rate, rates, ratios, time = given
    fixed: list[str] = []
    values: list[float] = []
    try:
        if step is not None or kind == "batch":
            fixed.append(STEP)
            values.append(whole(step, STEP, RecorderError))
        if epoch is not None or kind == "epoch":
            fixed.append(EPOCH)
            values.append(whole(epoch, EPOCH, RecorderError))
        fixed.append(TIME)
        values.append((clock.time() if time is None else float(time)) - started)
        if loss is not None:
            fixed.append(LOSS)
            values.append(float(loss))
        if rate is not None:
            fixed.append(RATE)
            values.append(float(rate))
        for numbers in (metrics, rates, ratios):
            if numbers:
                values.extend(map(float, numbers.values()))
    except RecorderError:
        raise
    except (AttributeError, TypeError, ValueError, OverflowError, RuntimeError):
        others = {STEP: step, EPOCH: epoch, TIME: time, LOSS: loss, RATE: rate}
        raise RecorderError(_complaint(others, metrics, rates, ratios)) from None
    names = tuple(metrics or ()), tuple(rates or ()), tuple(ratios or ())
    return Row(Shape(kind, tuple(fixed), *names), values)


def row_from_mapping(row: Mapping[str, Any], started: float) -> Row:
    """Make a batch's row of a mapping of the arguments of ``Recorder.log``.

    Raises:
        RecorderError: It is no such mapping, or as in ``make_row``.
    """
    try:
        given = Given(**row)
    except TypeError as error:
        raise RecorderError(
            "A row must be a mapping of arguments of Recorder.log, such as step, loss and rates: "
            f"{str(error).removeprefix('Given.__new__() ')}."
        ) from None
    return make_row("batch", started, given)


def _complaint(fixed: Mapping[str, object], *named: object) -> str:
    """Why these arguments of a row are no numbers."""
    given = [item for item in fixed.items() if item[1] is not None]
    for numbers in named:
        if isinstance(numbers, Mapping):
            given.extend(numbers.items())
        elif numbers:
            return f"Metrics, rates and ratios must map names to numbers, got {shown(numbers)}."
    for name, value in given:
        try:
            float(value)  # type: ignore[arg-type]
        except OverflowError:
            return f"The value of {shown(name)} must be a number that a float can hold."
        except (TypeError, ValueError, RuntimeError):  # RuntimeError: a complex tensor
            return f"The value of {shown(name)} must be a number, got {shown(value)}."
    return "A value of this row could not be made a number."
