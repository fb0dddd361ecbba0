"""A batch's own loss and metrics, computed inside the compiled step.

What Keras hands to callbacks are means since the epoch began, and no arithmetic on a float32 mean
gives one batch back after thousands. So the model's loss tracker and its compiled metrics get a
stand-in each while a step is traced or run. A stand-in updates the tracker's very own state, as
Keras would have, and also keeps what the one batch gave; the values leave the step in its logs,
under a key that the caller takes out before anybody sees it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
from keras import ops

from layerwise.keras._internals.tensorflow import replica
from layerwise.keras._internals.trainer import METRICS, TRACKER, in_training_state
from layerwise.keras._internals.values import copy_of, value_of

KEY = "layerwise"

_ADDING = (keras.metrics.Mean.update_state, keras.metrics.MeanMetricWrapper.update_state)


class BatchValues:
    """The stand-ins for one model.

    Args:
        model: A compiled model.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        self.names: tuple[str, ...] = ()
        self._stand_ins: tuple[Any, ...] = (None, None, None, None)
        self.loss: dict[int, Any] = {}
        self.metrics: dict[int, dict[str, Any]] = {}

    @contextmanager
    def collected(self) -> Iterator[None]:
        """While the block runs, each step of the model gives its own values, too."""
        tracker, metrics = getattr(self.model, TRACKER), getattr(self.model, METRICS)
        if self._stand_ins[0] is not tracker or self._stand_ins[1] is not metrics:
            new = None if metrics is None else _Metrics(metrics, self)
            self._stand_ins = tracker, metrics, _Loss(tracker, self), new
        # Past every backend's tracking: it would take the stand-ins for metrics of the model.
        object.__setattr__(self.model, TRACKER, self._stand_ins[2])
        object.__setattr__(self.model, METRICS, self._stand_ins[3])
        try:
            yield
        finally:
            object.__setattr__(self.model, TRACKER, tracker)
            object.__setattr__(self.model, METRICS, metrics)
            self.loss, self.metrics = {}, {}

    def gathered(self) -> dict[str, Any] | None:
        """What leaves the step: one vector of the values, and the optimizer's state with them."""
        place = replica()
        if place not in self.loss:
            return None
        own = {"loss": self.loss[place]} | self.metrics.get(place, {})
        scalars = {name: value for name, value in own.items() if not ops.shape(value)}
        self.names = tuple(scalars)
        dtype = "float64" if keras.backend.floatx() == "float64" else "float32"
        values = ops.stack([ops.cast(value, dtype) for value in scalars.values()])
        return {"values": values} | in_training_state(self.model.optimizer)


class _StandIn(keras.metrics.Metric):
    """A metric that stands in front of another, whose state is its own."""

    def __init__(self, inner: Any, own: BatchValues) -> None:
        super().__init__(name=inner.name)
        self.inner = inner
        self.own = own

    @property
    def variables(self) -> list[Any]:
        variables: list[Any] = self.inner.variables
        return variables

    def reset_state(self) -> None:
        self.inner.reset_state()

    def __getattr__(self, name: str) -> Any:
        if name in ("inner", "_tracker"):
            raise AttributeError(name)
        return getattr(self.inner, name)


class _Loss(_StandIn):
    def update_state(self, values: Any, sample_weight: Any = None) -> None:
        value = ops.mean(ops.stop_gradient(ops.convert_to_tensor(values)))
        self.own.loss[replica()] = value
        self.inner.update_state(values, sample_weight=sample_weight)

    def result(self) -> Any:
        mean, own = self.inner.result(), self.own.gathered()
        return mean if own is None else {self.name: mean, KEY: own}


class _Metrics(_StandIn):
    @property
    def metrics(self) -> list[Any]:
        metrics: list[Any] = self.inner.metrics
        return metrics

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        inner = self.inner
        if not inner.built:
            inner.build(y_true, y_pred)
        if not all(metric.variables for metric in inner.metrics):
            # State of a kind that can't be put back: it is updated once, and gives no own value.
            inner.update_state(y_true, y_pred, sample_weight)
            return
        before = [copy_of(variable) for variable in inner.variables]
        inner.reset_state()
        inner.update_state(y_true, y_pred, sample_weight)
        self.own.metrics[replica()] = {k: copy_of(v) for k, v in _flat(inner.result()).items()}
        if all(type(metric).update_state in _ADDING for metric in inner.metrics):
            for variable, value in zip(inner.variables, before, strict=True):
                variable.assign(
                    value + value_of(variable)
                )  # what adding to it would have given, to the bit
            return
        for variable, value in zip(inner.variables, before, strict=True):
            variable.assign(value)
        inner.update_state(y_true, y_pred, sample_weight)

    def result(self) -> Any:
        return self.inner.result()


def _flat(results: dict[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in results.items():
        flat |= _flat(value) if isinstance(value, dict) else {name: value}
    return flat


def split_logs(logs: Any) -> tuple[dict[str, Any] | None, Any]:
    """The own values in a step's logs, or None; and the logs as Keras knows them."""
    if not isinstance(logs, dict):
        return None, logs
    own, kept = None, {}
    for name, value in logs.items():
        if name == KEY:
            own = value
        elif isinstance(value, dict) and KEY in value:  # a step that asks each metric by itself
            own = value[KEY]
            kept[name] = next(v for k, v in value.items() if k != KEY)
        else:
            kept[name] = value
    return own, kept
