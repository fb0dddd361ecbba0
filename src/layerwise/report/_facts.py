"""The table at the top: each run in a row of numbers."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from layerwise._numbers import NOTHING, counted, duration, number_text, whole_text
from layerwise._series import Floats
from layerwise.report._direction import best_place, best_word
from layerwise.report._findings.finder import finding_of
from layerwise.report._findings.rates import rates_finding_of
from layerwise.report._rates import constant_rate
from layerwise.report._run import VALIDATION, Run, as_floats

MOST_METRICS = 6
"""How many metrics stand in the table; the section of the metrics has all of them."""

_JUMP = 1.0
"""Seconds. Clocks are set back by less than this all the time, which is nothing to report."""


@dataclass(frozen=True)
class Fact:
    """A number and, in small print, a detail."""

    value: str
    detail: str = ""


@dataclass(frozen=True)
class Facts:
    """The facts of one run, in the order of ``headings``."""

    run: Run
    cells: tuple[Fact, ...]


def headings(runs: Sequence[Run]) -> tuple[str, ...]:
    """The headings of the columns."""
    return ("steps", "duration", "highest rate", *_measured(runs))


def facts(runs: Sequence[Run]) -> tuple[Facts, ...]:
    """A row for each run."""
    columns = _measured(runs)
    return tuple(
        Facts(run, (_steps(run), _time(run), _rate(run), *(_summary(run, c) for c in columns)))
        for run in runs
    )


def remarks(runs: Sequence[Run]) -> list[str]:
    """Warnings to read before the pictures: empty records, odd clocks, broken losses."""
    found = []
    for run in runs:
        steps, losses = run.by_batch("loss")
        if not len(run.steps) and not len(run.epoch.get("epoch", ())):
            found.append(f"The run {run.name} has no row yet.")
        _, back = _times(run)
        if back > _JUMP:
            found.append(
                f"The clock went back by {duration(back)} while the run {run.name} was recorded, "
                "so its duration is not exact."
            )
        broken = np.flatnonzero(~np.isfinite(losses))
        if len(losses) and len(broken) == len(losses):
            found.append(f"No loss of the run {run.name} is a finite number.")
        elif len(broken):
            found.append(
                f"{counted(len(broken), 'loss', 'losses')} of the run {run.name} "
                f"{'is' if len(broken) == 1 else 'are'} NaN or infinite, the first at step "
                f"{whole_text(steps[broken[0]])}; pictures leave them out."
            )
    return found


def _measured(runs: Sequence[Run]) -> tuple[str, ...]:
    """Loss and metrics, each followed by that of the validation."""
    names = ["loss", *metrics_of(runs)[:MOST_METRICS]]
    both = [variant for name in names for variant in (name, f"{VALIDATION}{name}")]
    return tuple(
        name for name in both if any(name in run.batch or name in run.epoch for run in runs)
    )


def metrics_of(runs: Sequence[Run]) -> list[str]:
    """The names of all metrics, without those of the validation."""
    return list(dict.fromkeys(name for run in runs for name in run.history.metrics))


def _steps(run: Run) -> Fact:
    steps = run.steps
    epochs = as_floats(run.epoch.get("epoch", np.empty(0)))
    begun = as_floats(run.batch.get("epoch", np.empty(0)))
    # What is measured later may have a row of its own.
    detail = counted(len(np.unique(epochs)), "epoch") if len(epochs) else ""
    if not detail and np.isfinite(begun).any():
        detail = f"in epoch {whole_text(np.nanmax(begun) + 1)}"
    return Fact(whole_text(steps[-1] + 1) if len(steps) else NOTHING, detail)


def _time(run: Run) -> Fact:
    """From the first row to the last; a pause before a run was resumed counts, too."""
    times, back = _times(run)
    if len(times) < 2:
        return Fact(NOTHING)
    if back > _JUMP:
        # Only what the clock went forward is time that has passed.
        return Fact(duration(float(np.diff(times).clip(0.0).sum())), "by a clock that went back")
    spent = float(times.max() - min(times.min(), 0.0))
    steps = run.steps
    passed = float(steps[-1] - steps[0]) if len(steps) > 1 else 0.0
    own = run.by_batch("time")[1]
    pace = (own[-1] - own[0]) / passed if passed > 0 and len(own) else 0.0
    return Fact(duration(spent), f"{number_text(1000 * pace, 2)} ms a step" if pace > 0 else "")


def _times(run: Run) -> tuple[Floats, float]:
    """When rows were written, and how far the clock went back at once at most."""
    kinds = [as_floats(columns.get("time", np.empty(0))) for columns in (run.batch, run.epoch)]
    batches, epochs = (times[np.isfinite(times)] for times in kinds)
    falls = [-float(np.diff(times).min(initial=0.0)) for times in (batches, epochs)]
    # Seconds count from the beginning of the record, so there is none before it.
    early = [-float(times.min(initial=0.0)) for times in (batches, epochs)]
    back = max(*falls, *early)
    if back > _JUMP:
        return (batches if len(batches) > 1 else epochs), back
    return np.concatenate([batches, epochs]), back


def _rate(run: Run) -> Fact:
    _, rates = run.by_batch("rate")
    rates = rates[np.isfinite(rates)]
    finding = finding_of(run)
    found = ""
    if finding is not None and finding.suggestion is not None:
        found = f"finder: {number_text(finding.suggestion, 3)}"
    rates_finding = rates_finding_of(run)
    if rates_finding is not None and rates_finding.learning_rate is not None:
        found = f"found: {number_text(rates_finding.learning_rate, 3)}"
    details = ["constant"] if constant_rate(run) is not None else []
    details += [found] if found else []
    return Fact(number_text(rates.max(), 3) if len(rates) else NOTHING, ", ".join(details))


def _summary(run: Run, column: str) -> Fact:
    """The last value and the best one; for batches, those of the moving average."""
    steps, values = run.shown(column)
    finite = np.flatnonzero(np.isfinite(values))
    if not len(finite):
        return Fact(NOTHING)
    best = finite[best_place(column, values[finite])]
    where = f", step {whole_text(steps[best])}" if np.isfinite(steps[best]) else ""
    detail = f"{best_word(column)} {number_text(values[best], 3)}{where}"
    return Fact(number_text(values[finite[-1]]), detail)
