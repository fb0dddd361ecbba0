"""Steps that wait on the device, as rows of numbers."""

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from keras import ops

from layerwise.keras._internals.optimizer import inner_optimizer
from layerwise.keras._optimizer.rate_groups import Floats, Steps, over
from layerwise.keras._schedule import LearningRateSchedule
from layerwise.recorder import RecorderWarning

if TYPE_CHECKING:
    from layerwise.keras._callbacks.batch_stream import Step

if TYPE_CHECKING:
    from layerwise.keras._callbacks.batch_stream import BatchStream, Step

Row = dict[str, Any]
"""The arguments of ``layerwise.recorder.Recorder.log``."""

_NOT_OWN = (
    "{}.train_step() does not update Keras' own loss tracker and metrics, so what it returns is "
    "recorded as each batch's values. Of a keras.metrics.Mean that is the mean since the epoch "
    "began: return the batch's loss itself, or leave train_step() to Keras and override "
    "compute_loss()."
)


def rows_of(stream: "BatchStream", steps: "Sequence[Step]") -> list[Row]:
    """The rows of some steps: own loss and metrics, step, rates and ratios, as plain numbers."""
    after = np.array([int(_number(step.batches)) for step in steps], dtype="int64")
    before = after - 1
    if stream.counts_less:  # an update that was skipped has not been counted
        known = np.concatenate([[stream.fetched], after[:-1]])
        before = np.where(after == known, after, before)
    stream.fetched = int(after[-1])
    updates = before // stream.per_update
    base = _base_rates(stream, steps, before, updates)
    groups = stream.groups
    rates = {} if groups is None or base is None else groups.rates(base, updates)
    if isinstance(steps[0].values, dict) and not stream.warned:
        stream.warned = True
        warnings.warn(_NOT_OWN.format(type(stream.model).__name__), RecorderWarning, stacklevel=5)
    rows = []
    for i, step in enumerate(steps):
        values = _values(stream, step)
        rows.append(
            {
                "step": int(updates[i]),
                "epoch": step.epoch,
                "time": step.time,
                "loss": values.pop("loss", None),
                "metrics": values,
                "rate": None if base is None else float(base[i]),
                "rates": {name: float(column[i]) for name, column in rates.items()},
                "ratios": _ratios(stream, step),
            }
        )
    return rows


def _number(value: Any) -> Any:
    return value if isinstance(value, int | float) else ops.convert_to_numpy(value)


def _values(stream: "BatchStream", step: "Step") -> dict[str, float]:
    if not isinstance(step.values, dict):
        numbers = np.asarray(ops.convert_to_numpy(step.values), dtype="float64")
        return dict(zip(stream.own.names, numbers.tolist(), strict=True))
    return {k: float(v) for k, x in step.values.items() if np.ndim(v := _number(x)) == 0}


def _ratios(stream: "BatchStream", step: "Step") -> dict[str, float] | None:
    if step.ratios is None:
        return None
    numbers = np.asarray(ops.convert_to_numpy(step.ratios), dtype="float64")
    return dict(zip(stream.ratios.layers, numbers.tolist(), strict=True))


def _base_rates(
    stream: "BatchStream", steps: "Sequence[Step]", batches: Steps, updates: Steps
) -> Floats | None:
    """The base rate of each step; None where a function of nothing gives it."""
    if stream.schedule is not None:
        scheduled = over(stream.schedule.value, updates)
        own = [float("nan") if s.rate is None else float(_number(s.rate)) for s in steps]
        return np.where(np.isnan(own), scheduled, own)
    if steps[0].rate is not None:
        return np.array([float(_number(step.rate)) for step in steps])
    rate = inner_optimizer(stream.model.optimizer)._learning_rate
    if isinstance(rate, LearningRateSchedule):
        return over(rate.schedule, updates if stream.groups is not None else batches)
    if isinstance(rate, keras.optimizers.schedules.LearningRateSchedule):
        return over(rate, batches)
    return None
