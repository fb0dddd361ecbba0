"""A run on the page: its history under a name that no other run has."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from layerwise._series import Floats, has_value, moving_average
from layerwise.recorder import History

ROWS = 200_000
"""How many rows of a record are read at most; a longer one is thinned, and its extremes stay."""

VALIDATION = "val_"
RATES = "rates/"

_EVALUATED = re.compile(r"^eval_(?=.)")
_SPEED = re.compile(
    r"(eval|train|test|predict)_(\w+_)?(runtime|(samples|steps|tokens)_per_second|"
    r"model_preparation_time|jit_compilation_time)"
)
"""How fast an evaluation of Transformers was. That is no metric of the model."""


@dataclass(frozen=True)
class Run:
    """A history with its name and its number on the page.

    Attributes:
        number: Its place among the runs, from 0.
        name: A name that no other run on the page has.
        history: What was recorded.
        folder: The name of the folder that the run's folder is in, if it was loaded from one.
    """

    number: int
    name: str
    history: History
    folder: str = ""

    @property
    def batch(self) -> Mapping[str, Floats]:
        """The columns of the batches."""
        return self.history.batch

    @property
    def epoch(self) -> Mapping[str, Floats]:
        """The columns of the epochs."""
        return self.history.epoch

    @cached_property
    def steps(self) -> Floats:
        """The step of each batch; the number of its row if no steps were recorded."""
        if "step" in self.batch:
            return as_floats(self.batch["step"])
        return np.arange(len(next(iter(self.batch.values()), ())), dtype=np.float64)

    @cached_property
    def rates(self) -> tuple[Floats, dict[str, Floats]]:
        """The steps and the rates of the groups by name; those of epochs if batches have none."""
        groups = {name: as_floats(rates) for name, rates in self.history.rates.items()}
        steps = self.steps
        if not _any_known(groups):
            steps = self._ends
            groups = {
                name.removeprefix(RATES): as_floats(rates)
                for name, rates in self.epoch.items()
                if name.startswith(RATES)
            }
        return steps, groups if _any_known(groups) else {}

    def by_batch(self, name: str) -> tuple[Floats, Floats]:
        """The steps and the values of a column of the batches, where it has any."""
        if name not in self.batch:
            return np.empty(0), np.empty(0)
        known = has_value(self.batch[name])
        return self.steps[known], as_floats(self.batch[name])[known]

    def by_epoch(self, name: str) -> tuple[Floats, Floats]:
        """The steps and the values of a column of the epochs, where it has any.

        An epoch without a step stands at the last step that was recorded in it.
        """
        if name not in self.epoch:
            return np.empty(0), np.empty(0)
        known = has_value(self.epoch[name])
        return self._ends[known], as_floats(self.epoch[name])[known]

    @cached_property
    def _ends(self) -> Floats:
        """The step of each epoch."""
        if "step" in self.epoch:
            return as_floats(self.epoch["step"])
        ends = dict(zip(self.batch.get("epoch", ()), self.steps, strict=False))
        return as_floats([ends.get(number, np.nan) for number in self._epochs])

    @cached_property
    def _epochs(self) -> Floats:
        """The number of each epoch."""
        rows = np.arange(len(next(iter(self.epoch.values()), ())))
        return as_floats(self.epoch.get("epoch", rows))

    @property
    def is_by_epoch(self) -> bool:
        """Whether nothing in the record says at which step an epoch was."""
        return bool(self.epoch) and not self.batch and "step" not in self.epoch

    def epochs_of(self, name: str) -> Floats:
        """The number of each epoch in which a column has a value."""
        return self._epochs[has_value(self.epoch[name])]

    def shown(self, name: str) -> tuple[Floats, Floats]:
        """The steps and the values that stand for a column, in pictures and in the facts.

        Of the batches that is the moving average, and of epochs, of which there are few, each
        value. Batches go before epochs, whose own loss is another kind of mean over the same
        numbers. A validation is measured after epochs.
        """
        if name.startswith(VALIDATION):
            return self.by_epoch(name) if name in self.epoch else self.by_batch(name)
        if name in self.batch:
            steps, values = self.by_batch(name)
            return steps, moving_average(values)
        return self.by_epoch(name)


def as_floats(values: npt.ArrayLike) -> Floats:
    """Any column as floats."""
    return np.asarray(values, np.float64)


def _any_known(columns: Mapping[str, Floats]) -> bool:
    return any(np.isfinite(values).any() for values in columns.values())


def load_runs(runs: str | Path | History | Iterable[str | Path | History]) -> tuple[Run, ...]:
    """Load the runs to show.

    Raises:
        RecorderError: A folder has no record, or one that can't be read.
    """
    given = [runs] if isinstance(runs, str | Path | History) else list(runs)
    histories = [
        _with_validation(run if isinstance(run, History) else History.load(run, rows=ROWS))
        for run in given
    ]
    return tuple(
        Run(number, name, history, _above(given[number]))
        for number, (name, history) in enumerate(
            zip(_names(given, histories), histories, strict=True)
        )
    )


def _with_validation(history: History) -> History:
    """The history with what Transformers calls ``eval_loss`` as ``val_loss``."""
    kinds = [history.batch, history.epoch]
    if not any(map(_EVALUATED.match, (*history.batch, *history.epoch))):
        return history

    def renamed(columns: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        found: dict[str, npt.NDArray[Any]] = {}
        for name, values in columns.items():
            new = _EVALUATED.sub(VALIDATION, name, count=1)
            taken = any(new in kind for kind in kinds)
            if not _SPEED.fullmatch(name):
                found[name if taken else new] = values
        return found

    return replace(history, batch=renamed(history.batch), epoch=renamed(history.epoch))


def _above(run: str | Path | History) -> str:
    return "" if isinstance(run, History) else Path(run).resolve().parent.name


def _names(given: list[str | Path | History], histories: list[History]) -> list[str]:
    """The histories' names; equal ones get the folder above them, or else a number."""
    names = [history.name for history in histories]
    for place, run in enumerate(given):
        if names.count(histories[place].name) > 1 and not isinstance(run, History):
            names[place] = f"{Path(run).resolve().parent.name}/{histories[place].name}"
    return [
        name if names.count(name) == 1 else f"{name} ({names[: place + 1].count(name)})"
        for place, name in enumerate(names)
    ]
