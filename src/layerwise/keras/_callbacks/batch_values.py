"""BatchValues: each batch's loss and metrics, computed inside the compiled step.

Keras hands callbacks the means since the epoch began, and after thousands of batches a float32
mean no longer shows what one batch added to it. So while a step is traced or run, stand-ins take
the place of the model's loss tracker and compiled metrics. They update the same state as Keras
would, and also keep the values of this one batch. These leave the step in its logs, under names
that are removed before anybody else sees the logs. They stand there one by one, since Keras 3.10
flattens whatever a metric nests.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from operator import is_

import keras
from keras import ops

from layerwise.keras._internals.tensorflow import after, replica
from layerwise.keras._internals.trainer import rate_and_count, set_step_metrics, step_metrics
from layerwise.keras._internals.values import copy_of, value_of

KEY = "layerwise/"

Values = dict[str, object]

_ADDING = (keras.metrics.Mean.update_state, keras.metrics.MeanMetricWrapper.update_state)


class BatchValues:
    """Collects what each step of one model gives for its batch alone.

    Args:
        model: A compiled model.

    Attributes:
        names: The names of the values in the vector that leaves a step.
        loss: The loss of the step being traced or run, by replica.
        metrics: Its metrics, by replica.
    """

    def __init__(self, model: keras.Model) -> None:
        self.names: tuple[str, ...] = ()
        self.loss: dict[int, object] = {}
        self.metrics: dict[int, Values] = {}
        self._model = model
        self._replaced: tuple[keras.metrics.Metric | None, ...] = ()
        self._stand_ins: tuple[_Loss, _Metrics | None] | None = None

    @contextmanager
    def collected(self) -> Iterator[None]:
        """While the block runs, the logs of each step hold the batch's values as well."""
        tracker, metrics = before = step_metrics(self._model)
        if self._stand_ins is None or not all(map(is_, before, self._replaced)):
            new = None if metrics is None else _Metrics(metrics, self)
            self._replaced, self._stand_ins = before, (_Loss(tracker, self), new)
        set_step_metrics(self._model, *self._stand_ins)
        try:
            yield
        finally:
            set_step_metrics(self._model, *before)
            self.loss, self.metrics = {}, {}

    def gathered(self) -> Values | None:
        """What leaves the step: the values as one vector, and the optimizer's rate and count."""
        place = replica()
        if place not in self.loss:
            return None
        values = {"loss": self.loss[place]} | self.metrics.get(place, {})
        scalars = {name: value for name, value in values.items() if not ops.shape(value)}
        self.names = tuple(scalars)
        dtype = "float64" if keras.backend.floatx() == "float64" else "float32"
        vector = ops.stack([ops.cast(value, dtype) for value in scalars.values()])
        return {"values": vector} | rate_and_count(self._model.optimizer)


class _StandIn(keras.metrics.Metric):
    """A metric in place of another one, whose state it uses."""

    def __init__(self, inner: keras.metrics.Metric, collector: BatchValues) -> None:
        super().__init__(name=inner.name)
        self.inner = inner
        self.collector = collector

    @property
    def variables(self) -> list[keras.Variable]:
        variables: list[keras.Variable] = self.inner.variables
        return variables

    def reset_state(self) -> None:
        self.inner.reset_state()

    def __getattr__(self, name: str) -> object:
        if "inner" not in vars(self):  # Keras' constructor looks for what is not there yet
            raise AttributeError(name)
        return getattr(self.inner, name)


class _Loss(_StandIn):
    def update_state(self, values: object, sample_weight: object = None) -> None:
        value = ops.mean(ops.stop_gradient(ops.convert_to_tensor(values)))
        self.collector.loss[replica()] = value
        self.inner.update_state(values, sample_weight=sample_weight)

    def result(self) -> object:
        mean, values = self.inner.result(), self.collector.gathered()
        if values is None:
            return mean
        return {self.name: mean} | {f"{KEY}{name}": value for name, value in values.items()}


class _Metrics(_StandIn):
    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        metrics: list[keras.metrics.Metric] = self.inner.metrics
        return metrics

    def update_state(self, y_true: object, y_pred: object, sample_weight: object = None) -> None:
        inner = self.inner
        if not inner.built:
            inner.build(y_true, y_pred)
        if not all(metric.variables for metric in inner.metrics):
            # State outside variables can't be restored: update it once, and read no batch value.
            inner.update_state(y_true, y_pred, sample_weight)
            return
        with after((y_true, y_pred)):  # else, where the data ends, only the reset would run
            self._update_and_keep(y_true, y_pred, sample_weight)

    def _update_and_keep(self, y_true: object, y_pred: object, sample_weight: object) -> None:
        inner = self.inner
        before = [copy_of(variable) for variable in inner.variables]
        inner.reset_state()
        inner.update_state(y_true, y_pred, sample_weight)
        values: Values = {name: copy_of(value) for name, value in _flat(inner.result()).items()}
        self.collector.metrics[replica()] = values
        adds_up = all(type(metric).update_state in _ADDING for metric in inner.metrics)
        for variable, value in zip(inner.variables, before, strict=True):
            # The sum is what Keras would have, to the bit: it adds in the same way.
            variable.assign(value + value_of(variable) if adds_up else value)
        if not adds_up:
            inner.update_state(y_true, y_pred, sample_weight)

    def result(self) -> object:
        return self.inner.result()


def _flat(results: Mapping[str, object]) -> Values:
    flat: Values = {}
    for name, value in results.items():
        flat |= _flat(value) if isinstance(value, dict) else {name: value}
    return flat


def split_logs(logs: Mapping[str, object]) -> tuple[Values | None, Mapping[str, object]]:
    """The batch's values in the logs of a step, if there are any, and the logs without them."""
    if not isinstance(logs, dict):
        return None, logs
    found, kept = _apart(logs)
    for name, value in kept.items():
        if isinstance(value, dict) and any(key.startswith(KEY) for key in value):
            # From a step that asks each metric itself.
            found, rest = _apart(value)
            kept[name] = next(iter(rest.values()))
    return found or None, kept


def _apart(logs: Mapping[str, object]) -> tuple[Values, Values]:
    """What stands under names of ours, without the beginning that marks them, and the rest."""
    ours = {name: value for name, value in logs.items() if name.startswith(KEY)}
    rest = {name: value for name, value in logs.items() if name not in ours}
    return {name.removeprefix(KEY): value for name, value in ours.items()}, rest
