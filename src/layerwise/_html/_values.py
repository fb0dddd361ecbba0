"""Schedules, findings and histories as HTML."""

import numpy as np

from layerwise._html._markup import Row, curve, small, table, titled
from layerwise._numbers import NOTHING, counted, number_text
from layerwise._rates_shown import HEADINGS, answer_text, bands_in_words, summary
from layerwise._series import Floats, evenly, falls_by_decades, has_value, moving_average
from layerwise.finder import LRFinding, RatesFinding
from layerwise.recorder import History
from layerwise.schedules import Schedule, counts_updates, values_over

_POINTS = 300
_ENDLESS = 1_000  # how many steps of an endless schedule are shown


def schedule(value: Schedule) -> str:
    """A schedule: the expression that makes it, and its curve over its length."""
    counting = sorted(value.counters)
    if counts_updates(value):
        counting.append("step")
    steps = _ENDLESS if value.length is None else value.length
    if len(counting) > 1 or steps == 0:
        return titled(repr(value))
    at = evenly(steps + 1, _POINTS).astype(np.int64)
    try:
        values = _over(value, at)
    except Exception as error:  # a function of the user's may raise anything
        return titled(repr(value), small(f"It can't be drawn: {type(error).__name__}: {error}"))
    unit = counting[0] if counting else "step"
    endless = f", the first {steps:,}" if value.length is None else ""
    return titled(repr(value), curve(at.astype(np.float64), values, label=f"by {unit}{endless}"))


def _over(value: Schedule, at: "np.typing.NDArray[np.int64]") -> Floats:
    """The values at these steps, or at these counts of what the schedule counts."""
    if not value.counters:
        return values_over(value, at)
    (counter,) = value.counters
    return np.array([value(0, **{counter: int(count)}) for count in at], np.float64)


def finding(value: LRFinding) -> str:
    """A finding: its suggestion and reason, the smoothed losses over the rate, and the rules."""
    rate = value.suggestion
    head = "No suggestion" if rate is None else f"Suggested rate: {number_text(rate, 3)}"
    rates, losses = np.array(value.rates), np.array(value.smoothed)
    known = losses[np.isfinite(losses)]
    if len(known):
        # Where the search blows up, the loss is of no use, and would hide the rest.
        first, low = float(known[0]), float(known.min())
        losses = np.where(losses > first + 0.4 * (first - low) + 1e-3 * abs(first), np.nan, losses)
    log = "xy" if falls_by_decades([losses]) else "x"
    picture = curve(rates, losses, label="smoothed loss by rate", log=log, mark=rate)
    rows = [
        Row((name, NOTHING if found is None else number_text(found, 3)))
        for name, found in value.candidates.items()
    ]
    rules = table(("classical rule", "rate"), rows, numbers=[1]) if rows else ""
    return titled(head, small(value.reason), picture, rules)


def rates_finding(value: RatesFinding) -> str:
    """A finding of rates: the answer, its bands, and the reason."""
    rows = [
        Row(cells.texts, dim=value.learning_rate is None or not band.multiplier)
        for band, cells in zip(value.bands, bands_in_words(value), strict=True)
    ]
    bands = table(HEADINGS, rows, numbers=[1, 2, 3], caption="\n".join(summary(value)))
    return titled(answer_text(value), bands)


def history(value: History) -> str:
    """A run: its name and size, the averaged loss, and the last value of each quantity."""
    columns = value.batch if "loss" in value.batch else value.epoch
    picture = ""
    if "loss" in columns:
        known = has_value(columns["loss"])
        losses = np.asarray(columns["loss"], np.float64)[known]
        average = moving_average(losses) if columns is value.batch else losses
        unit = "step" if "step" in columns else "epoch" if "epoch" in columns else "row"
        x = np.asarray(columns.get(unit, np.arange(len(known))), np.float64)[known]
        log = "y" if falls_by_decades([average]) else ""
        picture = curve(x, average, label=f"loss by {unit}", log=log)
    # The run's epochs have the validation, its batches have nearly everything else.
    shown = {name: values for name, values in value.epoch.items() if name.startswith("val_")}
    names = ("loss", *value.metrics, "rate")
    shown |= {name: value.batch[name] for name in names if name in value.batch}
    shown |= {name: v for name, v in value.epoch.items() if name in names and name not in shown}
    rows = [
        Row((name, *map(number_text, (finite[0], finite[-1], finite.min(), finite.max()))))
        for name, values in shown.items()
        if len(finite := (floats := np.asarray(values, np.float64))[np.isfinite(floats)])
    ]
    headings = ("quantity", "first", "last", "lowest", "highest")
    numbers = table(headings, rows, numbers=range(1, 5)) if rows else ""
    batches, epochs = (len(next(iter(kind.values()), ())) for kind in (value.batch, value.epoch))
    size = f"{counted(batches, 'batch', 'batches')}, {counted(epochs, 'epoch')}"
    return titled(value.name or "A run", small(size), picture, numbers)
