"""RowBuilder: what training steps left on the device becomes rows of plain numbers."""

import contextlib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import keras
import numpy as np
from keras import ops

from layerwise.keras._callbacks.several_optimizers import Reading, several_optimizers
from layerwise.keras._callbacks.step_rate import StepRate
from layerwise.keras._internals.optimizer import base_rate_of, batches_per_update, inner_optimizer
from layerwise.keras._optimizer.rate_groups import Floats, Steps, groups_of, over
from layerwise.keras._schedule import LearningRateSchedule
from layerwise.recorder import BatchRow, RecorderWarning

_MEANS = (
    "{}.train_step() does not update Keras' own loss tracker and metrics, so the values that it "
    "returns are recorded as those of each batch. The result of a keras.metrics.Mean is the mean "
    "since the epoch began: return the batch's loss itself, or leave train_step() to Keras and "
    "override compute_loss()."
)


@dataclass(frozen=True)
class NamedValues:
    """Several numbers in one vector, which may still be on the device.

    Attributes:
        names: A name for each number.
        vector: The numbers, a tensor of the backend.
    """

    names: tuple[str, ...]
    vector: object

    def fetch(self) -> dict[str, float]:
        """The numbers by name."""
        # Keras 3.10 makes a number of a vector of one, in a step that runs eagerly.
        numbers = np.ravel(ops.convert_to_numpy(self.vector)).astype("float64")
        return dict(zip(self.names, numbers.tolist(), strict=True))


@dataclass(frozen=True)
class Step:
    """One call of the train function, with its values where they are.

    Attributes:
        values: The batch's loss and metrics, or what a ``train_step()`` of the user's returned.
        batches: How many batches the optimizer has counted after it.
        rate: The base rate that it used; None if a schedule gives it.
        epoch: The epoch, from 0.
        time: When it was handed to the device, in Unix seconds.
        ratios: The update-to-weight ratio of each layer, if they were wanted.
        readings: What each optimizer says, if the model has several.
    """

    values: NamedValues | Mapping[str, object]
    batches: object
    rate: object
    epoch: int
    time: float
    ratios: NamedValues | None
    readings: Mapping[str, Reading]


class RowBuilder:
    """Turns the steps of one training into rows.

    Args:
        model: The model that trains.

    Attributes:
        per_update: How many batches make one update of its optimizer.
        scales_loss: Whether it is inside Keras' loss scaling.
        may_skip: Whether a step may leave the optimizer's count as it was.
        counted: How many batches the optimizer had counted after the last step seen here.
        step_rate: What gives the base rate in place of the optimizer, if something does.
        several: The model's optimizers, if it has several.
    """

    def __init__(self, model: keras.Model) -> None:
        self.scales_loss = inner_optimizer(model.optimizer) is not model.optimizer
        self.per_update = batches_per_update(model.optimizer)
        self.may_skip = self.scales_loss or model.steps_per_execution > 1
        self.counted = 0
        self.step_rate: StepRate | None = None
        self._optimizer = model.optimizer
        self.several = several_optimizers(model)
        self._groups = groups_of(model) if self.several is None else None
        self._warning: str | None = _MEANS.format(type(model).__name__)

    def build(self, steps: Sequence[Step]) -> list[BatchRow]:
        """The rows of these steps, fetched from the device."""
        if self.several is None:
            updates, base, rates = self._columns(steps)
        else:
            updates, base, rates = self.several.columns([step.readings for step in steps])
        self._warn_of_means(steps[0])
        rows: list[BatchRow] = []
        for i, step in enumerate(steps):
            values = _values(step)
            rows.append(
                {
                    "step": int(updates[i]),
                    "epoch": step.epoch,
                    "time": step.time,
                    "loss": values.pop("loss", None),
                    "metrics": values,
                    "rate": None if base is None else float(base[i]),
                    "rates": {name: float(column[i]) for name, column in rates.items()},
                    "ratios": None if step.ratios is None else step.ratios.fetch(),
                }
            )
        return rows

    def _columns(self, steps: Sequence[Step]) -> tuple[Steps, Floats | None, dict[str, Floats]]:
        """The step, the base rate and the rate of each group, for each of these steps."""
        after = np.array([int(_number(step.batches)) for step in steps], dtype="int64")
        before = after - 1
        if self.may_skip:
            known = np.concatenate([[self.counted], after[:-1]])
            before = np.where(after == known, after, before)
        self.counted = int(after[-1])
        updates = before // self.per_update
        base = self._base_rates(steps, before, updates)
        groups = self._groups
        rates = {} if groups is None or base is None else groups.rates(base, updates)
        return updates, base, rates

    def _base_rates(self, steps: Sequence[Step], batches: Steps, updates: Steps) -> Floats | None:
        """The base rate of each step; None if a function without arguments gives it."""
        if self.step_rate is not None:
            return over(self.step_rate.value, updates)
        if steps[0].rate is not None:
            return np.array([float(_number(step.rate)) for step in steps])
        rate = base_rate_of(self._optimizer)
        if isinstance(rate, LearningRateSchedule):
            return over(rate.schedule, batches if self._groups is None else updates)
        if isinstance(rate, keras.optimizers.schedules.LearningRateSchedule):
            return over(rate, batches)
        return None

    def _warn_of_means(self, step: Step) -> None:
        if self._warning is not None and not isinstance(step.values, NamedValues):
            warnings.warn(self._warning, RecorderWarning, stacklevel=5)
            self._warning = None


def _number(value: object) -> float:
    if isinstance(value, int | float):
        return value
    number: float = ops.convert_to_numpy(value)
    return number


def _values(step: Step) -> dict[str, float]:
    if isinstance(step.values, NamedValues):
        return step.values.fetch()
    return _numbers_in(step.values)


def _numbers_in(logs: Mapping[str, object]) -> dict[str, float]:
    """The numbers of logs by name; a dict inside gives its own entries, as in Keras."""
    found: dict[str, float] = {}
    for name, value in logs.items():
        if isinstance(value, Mapping):
            found |= _numbers_in(value)
        else:
            with contextlib.suppress(TypeError, ValueError):  # a train_step() may return anything
                number = _number(value)
                found |= {name: float(number)} if np.ndim(number) == 0 else {}
    return found
