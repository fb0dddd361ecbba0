"""SeveralOptimizers: counts and rates where a ``train_step()`` uses more than one optimizer."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import keras
import numpy as np
from keras import ops
from keras.optimizers import Optimizer

from layerwise.keras._internals.optimizer import (
    base_rate_of,
    batch_count,
    batches_per_update,
    inner_optimizer,
    rate_variable,
)
from layerwise.keras._internals.values import copy_of, number_in
from layerwise.keras._optimizer.lr_multiplier import LRMultiplier
from layerwise.keras._optimizer.rate_groups import Floats, RateGroups, Steps, over
from layerwise.keras._schedule import LearningRateSchedule


@dataclass(frozen=True)
class Reading:
    """What an optimizer says after a step, still on the device.

    Attributes:
        batches: How many batches it has counted.
        rate: Its base rate; None if a schedule or function gives it.
    """

    batches: object
    rate: object | None


class SeveralOptimizers:
    """The optimizers of a model that has some beside ``model.optimizer``, as a GAN has two.

    Keras' ``compile()`` makes an optimizer even if none is given, so the one that it has may never
    be used. The step of a batch is the count of the first optimizer, in the order of the model's
    attributes, that counts.

    Args:
        model: The model that trains.
        optimizers: Its optimizers by name.
    """

    def __init__(self, model: keras.Model, optimizers: Mapping[str, Optimizer]) -> None:
        self._model = model
        self._optimizers = optimizers
        self._counted = {name: _count(o) for name, o in self._optimizers.items()}
        self._leading: str | None = None

    def read(self) -> dict[str, Reading]:
        """What the optimizers say now, in copies that nothing waits for."""
        readings = {}
        for name, optimizer in self._optimizers.items():
            rate = rate_variable(optimizer)
            batches = copy_of(batch_count(optimizer))
            readings[name] = Reading(batches, None if rate is None else copy_of(rate))
        return readings

    def batches(self) -> int:
        """How many batches the leading optimizer has counted."""
        counts = {name: _count(o) for name, o in self._optimizers.items()}
        return max(counts.values()) if self._leading is None else counts[self._leading]

    def columns(
        self, readings: Sequence[Mapping[str, Reading]]
    ) -> tuple[Steps, Floats | None, dict[str, Floats]]:
        """The step, the base rate and the rates of each optimizer, for some steps of training.

        The rates are those of the optimizers that have counted a batch by then.
        """
        before: dict[str, Steps] = {}
        for name in self._optimizers:
            after = np.array([_number(each[name].batches) for each in readings], dtype="int64")
            before[name] = np.concatenate([[self._counted[name]], after[:-1]])
            self._counted[name] = int(after[-1])
            if self._leading is None and (after > before[name]).any():
                self._leading = name
        leading = self._leading or next(iter(self._optimizers))
        base: Floats | None = None
        rates: dict[str, Floats] = {}
        for name, optimizer in self._optimizers.items():
            if not self._counted[name]:
                continue
            updates = before[name] // batches_per_update(optimizer)
            own = _base_rates(optimizer, [each[name] for each in readings], before[name], updates)
            if name == leading:
                base = own
            if own is not None:
                rates |= self._rates(name, own, updates)
        return before[leading] // batches_per_update(self._optimizers[leading]), base, rates

    def _rates(self, name: str, base: Floats, updates: Steps) -> dict[str, Floats]:
        inner = inner_optimizer(self._optimizers[name])
        if not isinstance(inner, LRMultiplier):
            return {name: base}
        groups = RateGroups(inner.plan(), self._model.name, inner.decided).rates(base, updates)
        return {f"{name}/{group}": column for group, column in groups.items()}


def several_optimizers(model: keras.Model) -> SeveralOptimizers | None:
    """The optimizers of a model; None if it has one alone.

    On JAX only the state of ``model.optimizer`` is in the state of a step.
    """
    optimizers = {} if keras.backend.backend() == "jax" else dict(_optimizers(model))
    return SeveralOptimizers(model, optimizers) if len(optimizers) > 1 else None


def _optimizers(model: keras.Model) -> Iterator[tuple[str, Optimizer]]:
    """Each optimizer of the model's attributes once, ``model.optimizer`` first."""
    seen: set[int] = set()
    attributes = {"optimizer": model.optimizer, **vars(model)}
    for attribute, value in attributes.items():
        if attribute.startswith("_self_"):  # TensorFlow's own books
            continue
        name = attribute.lstrip("_")
        several: dict[str, object] = {name: value}
        if isinstance(value, dict):
            several = {f"{name}/{key}": each for key, each in value.items()}
        elif isinstance(value, list | tuple):
            several = {f"{name}/{place}": each for place, each in enumerate(value)}
        for key, each in several.items():
            if isinstance(each, Optimizer) and id(inner_optimizer(each)) not in seen:
                seen |= {id(each), id(inner_optimizer(each))}
                yield key, each


def _base_rates(
    optimizer: Optimizer, readings: Sequence[Reading], batches: Steps, updates: Steps
) -> Floats | None:
    if readings[0].rate is not None:
        return np.array([_number(reading.rate) for reading in readings])
    rate = base_rate_of(optimizer)
    if isinstance(rate, LearningRateSchedule):
        applied = isinstance(inner_optimizer(optimizer), LRMultiplier)
        return over(rate.schedule, updates if applied else batches)
    if isinstance(rate, keras.optimizers.schedules.LearningRateSchedule):
        return over(rate, batches)
    return None


def _count(optimizer: Optimizer) -> int:
    return int(number_in(batch_count(optimizer)))


def _number(value: object) -> float:
    return float(ops.convert_to_numpy(value))
