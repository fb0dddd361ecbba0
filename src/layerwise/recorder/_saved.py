"""What stands beside a record as plain data: a finding, a plan, a schedule."""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from layerwise.errors import ConfigError, RecorderError
from layerwise.recorder._format import strict
from layerwise.recorder._row import whole
from layerwise.schedules import Schedule

if TYPE_CHECKING:
    from layerwise.finder import LRFinding
    from layerwise.multipliers import Plan

FINDING, PLAN, SCHEDULE = "finder.json", "plan.json", "schedule.json"
VERSION = 1

# A curve of so many points has no visible corners, whatever its length.
POINTS = 200
# How long an endless schedule is shown if nobody says how long the training is.
ENDLESS = 1000


def finding_data(finding: "LRFinding") -> dict[str, Any]:
    """A finding as plain data: what its ``to_config`` gives."""
    return dict(finding.to_config())


def plan_data(plan: "Plan", steps: int | None = None) -> dict[str, Any]:
    """A plan as plain data: its table, and the rates of its groups over steps.

    A group is the parameters that always have one rate. ``"of"`` gives the group of each
    parameter, in the order of the table; ``"rates"`` has one list of numbers a group, of the
    length of ``"steps"``; ``"names"`` one text a group. Without a learning rate they are
    multipliers, and ``"shows"`` says so.
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
    at = _points(values, steps, plan.step)
    course = plan.multipliers if plan.learning_rate is None else plan.rates
    curves = np.array([course(step)[firsts] for step in at]).T
    return {
        "layerwise": "plan",
        "version": VERSION,
        "table": plan.to_dict(),
        "shows": "multiplier" if plan.learning_rate is None else "rate",
        "steps": at,
        "names": [
            plan.rows[first].parameter.name + ("" if count == 1 else f" and {count - 1} more")
            for first, count in zip(firsts, counts, strict=True)
        ],
        "of": of,
        "rates": curves.tolist(),
    }


def schedule_data(schedule: Callable[[Any], Any], steps: int | None = None) -> dict[str, Any]:
    """A schedule as plain data: its text, its config if it has one, and its curve."""
    at = _points([schedule], steps, 0)
    try:
        config = schedule.to_config() if isinstance(schedule, Schedule) else None
    except ConfigError:  # a function has none; its curve is there all the same
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


def _points(values: list[Any], steps: int | None, start: int) -> list[int]:
    """The steps to show: evenly from the first to the last, at most ``POINTS`` and both ends."""
    if steps is None:
        changing = [value for value in values if callable(value)]
        lengths = [value.length for value in changing if isinstance(value, Schedule)]
        last = max((length for length in lengths if length), default=ENDLESS if changing else 0)
    else:
        last = whole(steps, "steps")
    last = max(last, start)
    points = np.linspace(0, last, min(POINTS, last + 1)).round()
    return [int(step) for step in np.unique(points)]


def write_data(path: Path, data: Mapping[str, Any]) -> None:
    """Write strict JSON: the whole of it is there afterwards, or what was there before."""
    text = json.dumps(strict(data), allow_nan=False)
    half = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        half.write_text(text + "\n", encoding="utf-8")
        half.replace(path)
    finally:
        half.unlink(missing_ok=True)


def read_data(path: Path) -> dict[str, Any] | None:
    """What was written, or None if it never was.

    Raises:
        RecorderError: It can't be read.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise RecorderError(f"{path} can't be read: {error}. Move it away and try again.") from None
    if not isinstance(data, dict):
        raise RecorderError(f"{path} was not written by Layerwise. Move it away and try again.")
    return data
