"""One row: what it is called with, checked and made plain numbers."""

import operator
import time as clock
from collections.abc import Mapping
from typing import Any, NamedTuple, SupportsFloat, SupportsIndex

from layerwise.errors import RecorderError
from layerwise.recorder._format import EPOCH, LOSS, RATE, RATES, RATIOS, STEP, TIME

Numbers = Mapping[str, SupportsFloat]


class Shape(NamedTuple):
    """Which columns a row has: rows of one shape share one line of columns."""

    kind: str
    fixed: tuple[str, ...]
    metrics: tuple[str, ...]
    rates: tuple[str, ...]
    ratios: tuple[str, ...]

    def columns(self) -> tuple[str, ...]:
        """The names of the columns.

        Raises:
            RecorderError: Two columns would have one name.
        """
        for name in (*self.metrics, *self.rates, *self.ratios):
            if not isinstance(name, str):
                raise RecorderError(f"The name of a metric, group or layer is text, got {name!r}.")
        names = (
            *self.fixed,
            *self.metrics,
            *(RATES + name for name in self.rates),
            *(RATIOS + name for name in self.ratios),
        )
        taken = {STEP, EPOCH, TIME, LOSS, RATE} & set(self.metrics)
        twice = sorted(taken or {name for name in names if names.count(name) > 1})
        if twice:
            raise RecorderError(
                f"A record has a column {twice[0]!r} already: give that metric another name."
            )
        return names


class Row(NamedTuple):
    """A row's shape, and its numbers in the order of the columns."""

    shape: Shape
    values: list[float]


def make_row(
    kind: str,
    started: float,
    *,
    step: SupportsIndex | None = None,
    epoch: SupportsIndex | None = None,
    loss: SupportsFloat | None = None,
    metrics: Numbers | None = None,
    rate: SupportsFloat | None = None,
    rates: Numbers | None = None,
    ratios: Numbers | None = None,
    time: float | None = None,
) -> Row:
    """Check a row and make it plain.

    The kind is ``batch`` or ``epoch``; the row's time counts from ``started``, when the record was
    begun, in Unix seconds; the rest is as in ``Recorder.log``.

    Raises:
        RecorderError: A step or epoch is no whole number of at least 0, or a value no number.
    """
    fixed: list[str] = []
    values: list[float] = []
    if step is not None or kind == "batch":
        fixed.append(STEP)
        values.append(whole(step, STEP))
    if epoch is not None or kind == "epoch":
        fixed.append(EPOCH)
        values.append(whole(epoch, EPOCH))
    fixed.append(TIME)
    try:
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
    except (AttributeError, TypeError, ValueError):
        raise RecorderError(
            _complaint({TIME: time, LOSS: loss, RATE: rate}, metrics, rates, ratios)
        ) from None
    names = tuple(metrics or ()), tuple(rates or ()), tuple(ratios or ())
    return Row(Shape(kind, tuple(fixed), *names), values)


def row_from_mapping(row: Mapping[str, Any], started: float) -> Row:
    """A batch's row from the arguments of ``Recorder.log`` as a mapping.

    Raises:
        RecorderError: It is no mapping, has something else in it, or as in ``make_row``.
    """
    try:
        return make_row("batch", started, **row)
    except TypeError as error:
        raise RecorderError(
            f"A row is a mapping of the arguments of Recorder.log, such as step, loss and rates: "
            f"{str(error).removeprefix('make_row() ')}."
        ) from None


def whole(number: Any, what: str, at_least: int = 0) -> int:
    """A whole number of at least 0 or so, as a Python int.

    Raises:
        RecorderError: It is none.
    """
    try:
        value = at_least - 1 if isinstance(number, bool) else operator.index(number)
    except TypeError:
        value = at_least - 1
    if value < at_least:
        raise RecorderError(
            f"{what} must be a whole number of at least {at_least}, got {number!r}."
        )
    return value


def _complaint(fixed: Mapping[str, Any], *named: Any) -> str:
    for numbers in named:
        if numbers and not isinstance(numbers, Mapping):
            return f"Metrics, rates and ratios are mappings of names to numbers, got {numbers!r}."
    given = [(name, value) for name, value in fixed.items() if value is not None]
    given.extend(item for numbers in named for item in (numbers or {}).items())
    for name, value in given:
        try:
            float(value)
        except (TypeError, ValueError):
            return f"A record holds numbers, and the value of {name!r} is {value!r}."
    return "A record holds numbers, and a value could not be made one."
