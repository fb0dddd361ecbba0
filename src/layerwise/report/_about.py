"""What the page says first: its title, what became of each run, and what was run."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

from layerwise._numbers import counted, number_text, whole_text
from layerwise._series import evenly
from layerwise._text import shorten
from layerwise.report._direction import best_place, best_word, less_is_better
from layerwise.report._run import VALIDATION, Run, as_floats

MOST_RULES = 6
CLOCK_POINTS = 240
WORSE = 1.02
"""A validation loss that ends above its lowest value times this has risen again."""


@dataclass(frozen=True)
class About:
    """What became of a run, and what was run.

    Attributes:
        run: The run.
        verdict: What became of it, in words.
        items: What was run: names and texts.
    """

    run: Run
    verdict: str
    items: tuple[tuple[str, str], ...]


def title_of(runs: Sequence[Run]) -> str:
    """The title of the page, from the names of the folders."""
    if len(runs) == 1:
        return runs[0].name or "A run"
    folders = {run.folder for run in runs}
    folder = folders.pop() if len(folders) == 1 else ""
    return f"{folder}: {len(runs)} runs" if folder else f"{len(runs)} training runs"


def about(runs: Sequence[Run]) -> list[About]:
    """What became of each run, and what was run."""
    return [About(run, verdict(run), tuple(_items(run))) for run in runs]


def verdict(run: Run) -> str:
    """What became of a run: how its loss went, and how the validation ended."""
    steps, losses = run.shown("loss")
    raw = run.by_batch("loss")[1]
    finite = np.flatnonzero(np.isfinite(losses))
    if not len(finite):
        return "No finite loss was recorded." if len(losses) else _validated(run)
    if len(raw) and not np.isfinite(raw[-1]):
        before = np.flatnonzero(np.isfinite(raw))
        last = f" The last finite one was at step {whole_text(steps[before[-1]])}."
        return f"Training broke: the loss is not finite at the end.{last}"
    first, end = losses[finite[0]], losses[finite[-1]]
    way = "fell" if end < first else "rose" if end > first else "stayed"
    ends = f"from {number_text(first, 3)} to {number_text(end, 3)}"
    course = f"at {number_text(end, 3)}" if way == "stayed" else ends
    until = f" by step {whole_text(steps[finite[-1]])}" if np.isfinite(steps[finite[-1]]) else ""
    return f"The loss {way} {course}{until}. {_validated(run)}".strip()


def _validated(run: Run) -> str:
    """How the validation ended: its loss, and the best value of each metric."""
    said = []
    steps, losses = run.shown(f"{VALIDATION}loss")
    finite = np.flatnonzero(np.isfinite(losses))
    if len(finite):
        best = finite[np.argmin(losses[finite])]
        low, last = number_text(losses[best], 3), number_text(losses[finite[-1]], 3)
        if losses[finite[-1]] > max(losses[best] * WORSE, losses[best]):
            said.append(f"The validation loss was lowest{_at(steps[best])}, {low}, and ended at "
                        f"{last}: what came after it did not help.")  # fmt: skip
        elif low == last:
            said.append(f"The validation loss ended at its lowest, {last}.")
        else:
            said.append(f"The validation loss ended at {last}, near its lowest, {low}.")
    for metric in run.history.metrics[:MOST_RULES]:
        steps, values = run.shown(f"{VALIDATION}{metric}")
        finite = np.flatnonzero(np.isfinite(values))
        if len(finite):
            best = finite[best_place(metric, values[finite])]
            name = f"{VALIDATION}{metric}"
            word = best_word(name).capitalize()
            said.append(f"{word} {name}: {number_text(values[best], 4)}{_at(steps[best])}.")
    return " ".join(said)


def _at(step: float) -> str:
    return f" at step {whole_text(step)}" if np.isfinite(step) else ""


def comparison(runs: Sequence[Run]) -> str:
    """Which of several runs ended best, by the first of these that all of them have.

    The validation loss, a metric of the validation, the loss; nothing if there is none, or one run.
    """
    metrics = [f"{VALIDATION}{name}" for name in runs[0].history.metrics] if runs else []
    columns = {f"{VALIDATION}loss": "validation loss", **{m: m for m in metrics}, "loss": "loss"}
    for column, words in columns.items():
        lasts = [
            (float(finite[-1]), run.name)
            for run in runs
            if len(finite := (v := run.shown(column)[1])[np.isfinite(v)])
        ]
        if len(runs) > 1 and len(lasts) == len(runs):
            lasts.sort()
            if lasts[0][0] == lasts[-1][0]:
                return f"All runs ended at one {words}, {number_text(lasts[0][0], 3)}."
            ways = ["lowest", "highest"]
            if not less_is_better(column):
                lasts, ways = lasts[::-1], ways[::-1]
            (best, name), (worst, other) = lasts[0], lasts[-1]
            return (
                f"{name} ended with the {ways[0]} {words}, {number_text(best, 3)}; {other} with "
                f"the {ways[1]}, {number_text(worst, 3)}."
            )
    return ""


def _items(run: Run) -> list[tuple[str, str]]:
    setup, plan = run.history.setup or {}, run.history.plan or {}
    schedule = (run.history.schedule or {}).get("text") or plan.get("schedule")
    items = [
        ("optimizer", setup.get("optimizer")),
        ("rules", _rules(plan)),
        ("schedule", schedule),
        ("date", _date(setup.get("date"))),
        ("versions", ", ".join(f"{k} {v}" for k, v in (setup.get("versions") or {}).items())),
    ]
    return [(name, shorten(str(text), 400)) for name, text in items if text]


def _rules(plan: Any) -> str:
    """Each rule with its multiplier, in the order of the parameters; of many, the first ones."""
    table = plan.get("table") or {}
    named = zip(table.get("rule") or (), table.get("multiplier") or (), strict=False)
    rules: dict[str, list[object]] = {}
    for rule, value in named:
        if rule is not None and value not in rules.setdefault(str(rule), []):
            rules[str(rule)].append(value)
    pairs = zip(table.get("rule") or (), table.get("frozen") or (), strict=False)
    idle = sum(rule is None and bool(frozen) for rule, frozen in pairs)
    if not idle and all(values == [1.0] for values in rules.values()):
        return "none: one rate for all" if table.get("parameter") else ""
    texts = [f"{rule}: {_values(values)}" for rule, values in rules.items()]
    rest = len(texts) - MOST_RULES
    texts[MOST_RULES:] = [f"and {counted(rest, 'more rule')}"] if rest > 0 else []
    return "; ".join([*texts, *([f"{counted(idle, 'parameter')} not trained"] if idle else [])])


def _values(values: Sequence[object]) -> str:
    numbers = [value for value in values if isinstance(value, int | float)]
    if len(numbers) == len(values) > 2:
        return f"{number_text(min(numbers), 3)} … {number_text(max(numbers), 3)}"
    return ", ".join(
        number_text(value, 3) if isinstance(value, int | float) else str(value) for value in values
    )


def _date(text: object) -> str:
    try:
        return datetime.fromisoformat(str(text)).strftime("%Y-%m-%d %H:%M %Z").strip()
    except ValueError:
        return ""


def clocks(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """For each run, steps with the epochs and the seconds that belong to them.

    An epoch is counted in parts: 1.5 is in the middle of the second one. A kind of which a run has
    less than two points is left out.
    """
    return [
        {kind: points for kind in ("epoch", "time") if (points := _clock(run, kind))}
        for run in runs
    ]


def _clock(run: Run, kind: str) -> list[list[float]] | None:
    steps, values = run.steps, as_floats(run.batch.get(kind, np.empty(0)))
    if not len(values):
        steps, values = run.by_epoch(kind)
        values = values + (kind == "epoch")  # a row of an epoch stands at its end
    finite = np.isfinite(steps) & np.isfinite(values)
    steps, values = steps[finite], values[finite]
    if kind == "epoch" and kind in run.batch and len(values):
        # The first batch of each epoch, and the last of all with what part of its epoch is over.
        starts = np.flatnonzero(np.diff(values, prepend=values[0] - 1) != 0)
        length = np.median(np.diff(steps[starts])) if len(starts) > 1 else len(values)
        over = min((steps[-1] + 1 - steps[starts[-1]]) / max(float(length), 1.0), 1.0)
        steps, values = (
            np.append(steps[starts], steps[-1] + 1),
            np.append(values[starts], values[-1] + over),
        )
    if len(steps) < 2 or steps[-1] <= steps[0]:
        return None
    kept = evenly(len(steps), CLOCK_POINTS)
    # A clock that was set back must not turn the lines back.
    values = np.maximum.accumulate(values)
    if values[-1] <= values[0]:
        return None
    return [steps[kept].tolist(), [float(f"{value:.7g}") for value in values[kept]]]
