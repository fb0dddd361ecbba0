"""The tables of what was measured."""

from collections.abc import Callable, Iterable

import numpy as np
from rich.console import Console
from rich.table import Table

from ._methods import BEST_TILT, ONE_RATE, OURS, UNAIDED
from ._panel import PARTS, TASKS
from ._rows import Row


def show(rows: list[Row]) -> None:
    """The tables of each part that something was measured in, on the terminal."""
    console = Console(width=120)
    for part, names in PARTS.items():
        own = [row for row in rows if row.task in names]
        if own:
            console.print(methods_table(own, part))
            console.print(tasks_table(own, part))


def methods_table(rows: list[Row], part: str) -> Table:
    """Each method over the tasks in which all methods were measured, best first.

    "Spread" is the standard error of the mean share, over tasks; "below one rate" counts the tasks
    whose mean loss is lower than that of the best single rate chosen on the test set.
    """
    by_method = _means(rows)
    common = set.intersection(*(set(tasks) for tasks in by_method.values()))
    title = f"{part}: {len(common)} tasks, {len({row.seed for row in rows})} draws"
    shown = Table(title=title, caption="share: of what training gains; 0 is the oracle's best")
    shown.add_column("method")
    columns = ("share", "spread", "worst", "accuracy", "below one rate", "worse by", "search")
    for name in columns:
        shown.add_column(name, justify="right")
    if not common:
        return shown

    def mean(method: str) -> float:
        return float(np.mean([by_method[method][task].share for task in common]))

    for method in sorted(by_method, key=mean):
        own = [by_method[method][task] for task in sorted(common)]
        single = [by_method[ONE_RATE][task] for task in sorted(common)]
        shares = np.array([each.share for each in own])
        behind = shares - np.array([each.share for each in single])
        below = sum(each.loss < other.loss for each, other in zip(own, single, strict=True))
        error = shares.std(ddof=1) / len(shares) ** 0.5 if len(shares) > 1 else np.nan
        shown.add_row(
            method,
            f"{shares.mean():.4f}",
            f"{error:.4f}",
            f"{shares.max():.3f}",
            f"{np.mean([each.accuracy for each in own]):.3f}",
            f"{below} of {len(own)}",
            f"{max(behind.max(), 0):.3f}",
            f"{np.mean([each.updates for each in own]):.0f}",
        )
    return shown


def tasks_table(rows: list[Row], part: str) -> Table:
    """Test loss and accuracy on each task: mean over draws ± standard deviation of the loss."""
    found = _means(rows)
    peers = [method for method in found if method in UNAIDED and method != OURS]
    best_peer = f"best of {len(peers)} peers"
    methods = [method for method in (ONE_RATE, BEST_TILT, OURS) if method in found]
    shown = Table(title=f"{part}: each task")
    shown.add_column("task")
    shown.add_column("kind")
    shown.add_column("tilts")
    for name in (*methods, *([best_peer] if peers else [])):
        shown.add_column(name, justify="right")
    for task in (task for task in TASKS if any(row.task == task for row in rows)):
        tilts = [r.reason[5:] for r in rows if r.task == task and r.method == BEST_TILT]
        cells = [_cell(found[method].get(task)) for method in methods]
        known = [(found[peer][task].loss, peer) for peer in peers if task in found[peer]]
        if known:
            _, peer = min(known)
            cells.append(f"{_cell(found[peer][task])}\n{peer}")
        shown.add_row(task, TASKS[task].kind, ", ".join(tilts), *cells)
    return shown


class _Mean:
    """A method's draws of a task, together."""

    def __init__(self, rows: list[Row]) -> None:
        def mean(of: Callable[[Row], float]) -> float:
            return float(np.mean([of(row) for row in rows]))

        self.loss = mean(lambda row: row.loss)
        self.spread = float(np.std([row.loss for row in rows], ddof=1)) if rows[1:] else np.nan
        self.share = mean(lambda row: row.share)
        self.accuracy = mean(lambda row: row.accuracy)
        self.updates = mean(lambda row: row.updates)


def _cell(mean: _Mean | None) -> str:
    return "" if mean is None else f"{mean.loss:.3f} ± {mean.spread:.3f}, {mean.accuracy:.3f}"


def _means(rows: Iterable[Row]) -> dict[str, dict[str, _Mean]]:
    """The draws of each method and task together."""
    cases: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        cases.setdefault((row.method, row.task), []).append(row)
    found: dict[str, dict[str, _Mean]] = {}
    for (method, task), own in cases.items():
        found.setdefault(method, {})[task] = _Mean(own)
    return found
