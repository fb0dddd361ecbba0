"""What the page needs of a run: its columns, sorted by what they are."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from layerwise._series import Floats
from layerwise.recorder import History

ROWS = 200_000
"""Rows of a record that are read: longer ones are thinned by the reader, extremes kept."""

RATES, RATIOS, VALIDATION = "rates/", "ratios/", "val_"
_NO_METRICS = {"step", "epoch", "time", "loss", "val_loss", "rate"}


@dataclass(frozen=True)
class Run:
    """A history under the name that it has on the page, and its number there.

    Attributes:
        number: Its place among the runs, from 0.
        name: Unlike any other run's on the page.
        history: What was recorded.
    """

    number: int
    name: str
    history: History

    @property
    def batch(self) -> Mapping[str, Floats]:
        """The columns of the rows of batches."""
        return self.history.batch

    @property
    def epoch(self) -> Mapping[str, Floats]:
        """The columns of the rows of epochs."""
        return self.history.epoch

    @cached_property
    def steps(self) -> Floats:
        """The step of each row of batches; its number where none was recorded."""
        if "step" in self.batch:
            return as_floats(self.batch["step"])
        return np.arange(len(next(iter(self.batch.values()), ())), dtype=np.float64)

    @cached_property
    def metrics(self) -> tuple[str, ...]:
        """The names of its metrics, without the validation's own."""
        return tuple(dict.fromkeys(name.removeprefix(VALIDATION) for name in self._measured))

    @cached_property
    def _measured(self) -> list[str]:
        return [
            name
            for columns in (self.batch, self.epoch)
            for name in columns
            if name not in _NO_METRICS and not name.startswith((RATES, RATIOS))
        ]

    def family(self, prefix: str) -> dict[str, Floats]:
        """The columns of one kind, ``"rates/"`` or ``"ratios/"``, by the name behind it."""
        return {
            name.removeprefix(prefix): column
            for name, column in self.batch.items()
            if name.startswith(prefix)
        }

    def by_batch(self, name: str) -> tuple[Floats, Floats]:
        """The steps and the values of a column of batches, both empty if it was not recorded."""
        if name not in self.batch:
            return np.empty(0), np.empty(0)
        return self.steps, as_floats(self.batch[name])

    def by_epoch(self, name: str) -> tuple[Floats, Floats]:
        """The steps and the values of a column of epochs, both empty if it was not recorded.

        An epoch without a step of its own stands at the last step that was recorded in it.
        """
        if name not in self.epoch:
            return np.empty(0), np.empty(0)
        values = as_floats(self.epoch[name])
        if "step" in self.epoch:
            return as_floats(self.epoch["step"]), values
        ends = dict(zip(self.batch.get("epoch", ()), self.steps, strict=False))
        epochs = self.epoch.get("epoch", np.arange(len(values)))
        return as_floats([ends.get(number, np.nan) for number in epochs]), values


def as_floats(values: object) -> Floats:
    """Any column as numbers; booleans and whole numbers, too."""
    return np.asarray(values, np.float64)


def load_runs(runs: str | Path | History | Iterable[str | Path | History]) -> tuple[Run, ...]:
    """The runs to show, each with a name of its own.

    Raises:
        RecorderError: A path leads to no run, or there is none at all.
    """
    given = [runs] if isinstance(runs, str | Path | History) else list(runs)
    histories = [run if isinstance(run, History) else History.load(run, rows=ROWS) for run in given]
    return tuple(
        Run(number, name, history)
        for number, (name, history) in enumerate(
            zip(_names(given, histories), histories, strict=True)
        )
    )


def _names(given: list[str | Path | History], histories: list[History]) -> list[str]:
    """The histories' names; equal ones with their folder before, or with a number."""
    names = [history.name for history in histories]
    for place, run in enumerate(given):
        if names.count(histories[place].name) > 1 and not isinstance(run, History):
            names[place] = f"{Path(run).resolve().parent.name}/{histories[place].name}"
    return [
        name if names.count(name) == 1 else f"{name} ({names[: place + 1].count(name)})"
        for place, name in enumerate(names)
    ]
