"""Findings, a plan and a schedule as plain data, saved beside a record."""

import json
import math
import os
import platform
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from layerwise._checks import whole
from layerwise._series import evenly
from layerwise.errors import ConfigError, RecorderError
from layerwise.finder import LRFinding, RatesFinding
from layerwise.multipliers import Plan, Value, value_text
from layerwise.recorder._file import warn
from layerwise.recorder._format import is_count, parsed, strict
from layerwise.schedules import Schedule, counters_of

FINDING, PLAN, SCHEDULE = "finder.json", "plan.json", "schedule.json"
FOUND_RATES = "rates.json"
SETUP = "setup.json"
VERSION = 1

_FRAMEWORKS = ("keras", "jax", "tensorflow", "torch", "optax", "numpy")

POINTS = 200
"""Enough points for a curve of any length to have no visible corners."""

ENDLESS = 1000
"""How many steps of an endless schedule are saved if the length of the training is unknown."""


def plan_data(plan: Plan, steps: int | None = None) -> dict[str, Any]:
    """A plan as plain data: its table, and the rates of its groups over steps.

    Parameters that have the same rate at every step are a group. ``"of"`` gives the group of each
    parameter, in the order of the table. ``"names"`` has a text for each group, and ``"rates"`` a
    list of numbers, one for each of ``"steps"``; under a schedule by tokens, that is the present
    step alone. ``"shows"`` says whether these are rates or, without a learning rate, multipliers.
    ``"schedule"`` is the plan's own, as text.
    """
    places: dict[tuple[int, bool], int] = {}
    of = [0] * len(plan.rows)
    for group, (_, members) in enumerate(plan.groups):
        for place in members:
            key = (group, plan.rows[place].parameter.trainable)
            of[place] = places.setdefault(key, len(places))
    counts = np.bincount(of, minlength=len(places))
    firsts = [of.index(group) for group in range(len(places))]
    values = [plan.schedule, *(value for value, _ in plan.groups)]
    # What tokens there are at another step than the present one, nobody knows.
    at = [plan.step] if counters_of(values) else _points(values, steps, plan.step)
    values_at = plan.multipliers if plan.learning_rate is None else plan.rates
    curves = np.array([values_at(step)[firsts] for step in at]).T
    return {
        "layerwise": "plan",
        "version": VERSION,
        "table": plan.to_dict(),
        "shows": "multiplier" if plan.learning_rate is None else "rate",
        "schedule": None if plan.schedule is None else str(value_text(plan.schedule)),
        "steps": at,
        "names": [
            plan.rows[first].parameter.name + ("" if count == 1 else f" and {count - 1} more")
            for first, count in zip(firsts, counts, strict=True)
        ],
        "of": of,
        "rates": curves.tolist(),
    }


def schedule_data(schedule: Callable[[Any], Any], steps: int | None = None) -> dict[str, Any]:
    """A schedule as plain data: its text, its config if it has one, and its values over steps."""
    at = _points([schedule], steps, 0)
    try:
        config = schedule.to_config() if isinstance(schedule, Schedule) else None
    except ConfigError:  # a function has no config; its values are saved all the same
        config = None
    if isinstance(schedule, Schedule):
        text = repr(schedule)
    else:
        text = getattr(schedule, "__name__", type(schedule).__name__)
    return {
        "layerwise": "schedule",
        "version": VERSION,
        "text": text,
        "config": config,
        "steps": at,
        "factors": [float(schedule(step)) for step in at],
    }


def setup_data(optimizer: str, settings: Mapping[str, object]) -> dict[str, Any]:
    """With what a run trains, as plain data: optimizer, date, and the versions of what is loaded.

    Of the settings those are kept that are numbers, or tuples of numbers, and not 0 or False.
    """
    kept = [f"{name}={value!r}" for name, value in settings.items() if value and _is_setting(value)]
    loaded = [name for name in _FRAMEWORKS if name in sys.modules]
    return {
        "layerwise": "setup",
        "version": VERSION,
        "optimizer": f"{optimizer}({', '.join(kept)})",
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {
            "layerwise": version("layerwise"),
            "python": platform.python_version(),
            **{name: str(getattr(sys.modules[name], "__version__", "?")) for name in loaded},
        },
    }


def _is_setting(value: object) -> bool:
    parts = value if isinstance(value, tuple) else (value,)
    return all(type(part) in (bool, int, float) for part in parts)


def _points(values: Sequence[Value | None], steps: int | None, start: int) -> list[int]:
    """At most ``POINTS`` steps, evenly from 0 to the last one, with both ends."""
    if steps is None:
        changing = [value for value in values if callable(value)]
        lengths = [value.length for value in changing if isinstance(value, Schedule)]
        last = max((length for length in lengths if length), default=ENDLESS if changing else 0)
    else:
        last = whole(steps, "steps", RecorderError)
    return list(map(int, evenly(max(last, start) + 1, POINTS)))


def write_data(path: Path, data: Mapping[str, Any]) -> None:
    """Write strict JSON. The file has all of it afterwards, or still what it had before."""
    text = json.dumps(strict(data), allow_nan=False)
    half = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        half.write_text(text + "\n", encoding="utf-8")
        half.replace(path)
    finally:
        half.unlink(missing_ok=True)


def read_data(run: Path, name: str) -> dict[str, Any] | None:
    """Read what was written in a run's folder, or None if there is nothing.

    What is damaged, or of another version, is left out with a ``RecorderWarning``.
    """
    path = run / name
    try:
        data = parsed(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        warn(f"{path} can't be read and is left out: {error.strerror}.")
        return None
    if isinstance(data, dict) and _CHECKS[name](data):
        return data
    warn(f"{path} can't be read and is left out: it is damaged, or of another version.")
    return None


def _is_finding(data: dict[str, Any]) -> bool:
    try:
        finding = LRFinding.from_config(data)
    except (ConfigError, ArithmeticError, AttributeError):
        return False
    curves = finding.rates, finding.losses, finding.smoothed
    suggested = finding.suggestion, *_items(finding.candidates), *_items(finding.group_factors)
    return (
        len(set(map(len, curves))) == 1
        and all(rate > 0 for rate in finding.rates)
        and all(value is None or _is_number(value) for value in suggested)
        and all(
            isinstance(text, str) for text in (finding.method, finding.reason, finding.schedule)
        )
    )


def _is_rates_finding(data: dict[str, Any]) -> bool:
    try:
        finding = RatesFinding.from_config(data)
    except (ConfigError, ArithmeticError, AttributeError):
        return False
    bands, probes = finding.bands, finding.probes
    rates = [finding.learning_rate, finding.single_rate, *(p.rate for p in probes)]
    slopes = [s for p in probes for s in p.slopes]
    slopes += [s for b in bands for s in (b.slope, b.slope_error)]
    multipliers = [m for b in bands for m in (b.multiplier, b.low, b.high)]
    multipliers += [*finding.rules.values(), *(m for p in probes for m in p.multipliers)]
    multipliers += [probe.tilt for probe in probes]
    texts = [finding.reason, finding.training, finding.ended, *finding.rules]
    texts += [text for b in bands for text in (b.name, *b.parameters)]
    counts = [finding.updates, *(p.updates for p in probes), *(p.division for p in probes)]
    return (
        all(map(_is_finite, [*multipliers, finding.tilt, finding.gain, finding.gain_error]))
        and all(multiplier >= 0 for multiplier in multipliers)
        and all(rate is None or (_is_finite(rate) and rate > 0) for rate in rates)
        and all(slope is None or _is_finite(slope) for slope in slopes)
        and all(isinstance(text, str) for text in texts)
        and all(map(is_count, counts))
        and all(p.division < len(finding.untrained) for p in probes)
    )


def _items(value: object) -> Iterable[object]:
    # What is no mapping has an item that is no number.
    return value.values() if isinstance(value, Mapping) else ("none",)


def _is_plan(data: dict[str, Any]) -> bool:
    match data:
        case {
            "layerwise": "plan",
            "version": 1,
            "table": {"parameter": [*parameters]},
            "shows": "multiplier" | "rate",
            "steps": [*steps],
            "names": [*names],
            "of": [*of],
            "rates": [*rates],
        }:
            return (
                all(isinstance(name, str) for name in (*parameters, *names))
                # Earlier plans have none.
                and isinstance(data.get("schedule"), str | None)
                and len(of) == len(parameters)
                and len(names) == len(rates)
                and all(type(group) is int and 0 <= group < len(rates) for group in of)
                and all(map(is_count, steps))
                and all(_is_curve(rate, len(steps)) for rate in rates)
            )
    return False


def _is_schedule(data: dict[str, Any]) -> bool:
    match data:
        case {
            "layerwise": "schedule",
            "version": 1,
            "text": str(),
            "config": None | {},
            "steps": [*steps],
            "factors": factors,
        }:
            return all(map(is_count, steps)) and _is_curve(factors, len(steps))
    return False


def _is_setup(data: dict[str, Any]) -> bool:
    match data:
        case {
            "layerwise": "setup",
            "version": 1,
            "optimizer": str(),
            "date": str(),
            "versions": {**versions},
        }:
            return all(isinstance(text, str) for text in versions.values())
    return False


def _is_curve(values: object, length: int) -> bool:
    return isinstance(values, list) and len(values) == length and all(map(_is_number, values))


def _is_number(value: object) -> bool:
    """Whether a value is a number that a float holds; NaN and infinities may be text."""
    if isinstance(value, str):
        return value in ("nan", "inf", "-inf")
    try:
        return type(value) in (int, float) and not math.isnan(float(value))  # type: ignore[arg-type]
    except OverflowError:
        return False


def _is_finite(value: object) -> bool:
    return _is_number(value) and not isinstance(value, str) and abs(value) < math.inf  # type: ignore[arg-type]


_CHECKS = {
    FINDING: _is_finding,
    PLAN: _is_plan,
    SCHEDULE: _is_schedule,
    FOUND_RATES: _is_rates_finding,
    SETUP: _is_setup,
}
