"""What a run comes to in numbers: one row of the table at the top."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from layerwise._numbers import NOTHING, counted, duration, number_text, whole_text
from layerwise._series import Floats, moving_average
from layerwise.report._finder import finding_of
from layerwise.report._run import VALIDATION, Run, as_floats

# Of a metric with such a word in its name less is better.
_LESS_IS_BETTER = ("loss", "error", "mae", "mse", "mape", "perplexity", "divergence", "nll")


@dataclass(frozen=True)
class Fact:
    """A number and, smaller, what belongs to it."""

    value: str
    detail: str = ""


@dataclass(frozen=True)
class Facts:
    """The facts of one run, in the order of the headings of ``headings``."""

    run: Run
    cells: tuple[Fact, ...]


def headings(runs: Sequence[Run]) -> tuple[str, ...]:
    """What the columns hold."""
    return ("steps", "duration", "highest rate", *_measured(runs))


def facts(runs: Sequence[Run]) -> tuple[Facts, ...]:
    """A row for each run."""
    columns = _measured(runs)
    return tuple(
        Facts(run, (_steps(run), _time(run), _rate(run), *(_course(run, c) for c in columns)))
        for run in runs
    )


def remarks(runs: Sequence[Run]) -> list[str]:
    """What to know before the pictures are read: empty records, and losses that aren't finite."""
    said = []
    for run in runs:
        steps, losses = run.by_batch("loss")
        if not len(run.steps) and not len(run.epoch.get("epoch", ())):
            said.append(f"The run {run.name} has no row yet.")
        broken = np.flatnonzero(~np.isfinite(losses))
        if len(losses) and len(broken) == len(losses):
            said.append(f"No loss of the run {run.name} is a finite number.")
        elif len(broken):
            said.append(
                f"{counted(len(broken), 'loss', 'losses')} of the run {run.name} "
                f"{'is' if len(broken) == 1 else 'are'} NaN or infinite, the first at step "
                f"{whole_text(steps[broken[0]])}; pictures leave them out."
            )
    return said


def _measured(runs: Sequence[Run]) -> tuple[str, ...]:
    """Loss and metrics, the validation's own beside them."""
    names = ["loss", *dict.fromkeys(name for run in runs for name in run.metrics)]
    both = [variant for name in names for variant in (name, f"{VALIDATION}{name}")]
    return tuple(
        name for name in both if any(name in run.batch or name in run.epoch for run in runs)
    )


def _steps(run: Run) -> Fact:
    steps = run.steps
    epochs = as_floats(run.epoch.get("epoch", np.empty(0)))
    begun = as_floats(run.batch.get("epoch", np.empty(0)))
    detail = counted(len(epochs), "epoch") if len(epochs) else ""
    if not detail and np.isfinite(begun).any():
        detail = f"in epoch {whole_text(np.nanmax(begun) + 1)}"
    return Fact(whole_text(steps[-1] + 1) if len(steps) else NOTHING, detail)


def _time(run: Run) -> Fact:
    """From the first row's time to the last one's, with what a pause before resuming took."""
    times = np.concatenate(
        [as_floats(columns.get("time", np.empty(0))) for columns in (run.batch, run.epoch)]
    )
    times = times[np.isfinite(times)]
    if len(times) < 2:
        return Fact(NOTHING)
    spent = float(times.max() - min(times.min(), 0.0))
    steps = run.steps
    passed = float(steps[-1] - steps[0]) if len(steps) > 1 else 0.0
    own = run.by_batch("time")[1]
    pace = (own[-1] - own[0]) / passed if passed > 0 and len(own) else 0.0
    return Fact(duration(spent), f"{number_text(1000 * pace, 2)} ms a step" if pace > 0 else "")


def _rate(run: Run) -> Fact:
    _, rates = run.by_batch("rate")
    rates = rates[np.isfinite(rates)]
    finding = finding_of(run)
    found = ""
    if finding is not None and finding.suggestion is not None:
        found = f"finder: {number_text(finding.suggestion, 3)}"
    return Fact(number_text(rates.max(), 3) if len(rates) else NOTHING, found)


def _course(run: Run, column: str) -> Fact:
    """The last value and the best one; of batches, those of the moving average."""
    steps, values = _values(run, column)
    known = np.flatnonzero(np.isfinite(values))
    if not len(known):
        return Fact(NOTHING)
    less = any(word in column.lower() for word in _LESS_IS_BETTER)
    best = known[np.argmin(values[known]) if less else np.argmax(values[known])]
    where = f", step {whole_text(steps[best])}" if np.isfinite(steps[best]) else ""
    return Fact(number_text(values[known[-1]]), f"best {number_text(values[best], 3)}{where}")


def _values(run: Run, column: str) -> tuple[Floats, Floats]:
    if column in run.epoch:
        return run.by_epoch(column)
    steps, values = run.by_batch(column)
    return steps, moving_average(values)
