"""PerformanceLogger: every batch's and epoch's numbers, kept in memory as plain lists."""

import json
from collections.abc import Mapping
from pathlib import Path

from layerwise._checks import version
from layerwise.errors import RecorderError
from layerwise.keras._callbacks.batch_callback import BatchCallback
from layerwise.recorder import BatchRow

_VERSION = 1

Columns = dict[str, list[float]]


class PerformanceLogger(BatchCallback):
    """Keeps what each batch and epoch gave, as Keras' ``History`` does for epochs alone.

    The lists grow with the training. For a long one, or to have the numbers safe on disk, use
    ``Recorder``. Values are fetched from the device many batches at a time, and whenever
    ``batch_history`` is read: if speed matters, don't read it after each batch.

    Examples:
        >>> import keras, numpy
        >>> from layerwise.keras.callbacks import PerformanceLogger
        >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
        >>> model.compile(keras.optimizers.SGD(0.5), loss="mse")
        >>> logger = PerformanceLogger()
        >>> data = numpy.ones((32, 4)), numpy.ones((32, 1))
        >>> _ = model.fit(*data, batch_size=8, verbose=0, callbacks=[logger])
        >>> logger.batch_history["lrs"], len(logger.batch_history["loss"])
        ([0.5, 0.5, 0.5, 0.5], 4)

    Source: ``PerformanceLogger`` of DNN_Learning_Rate, a Keras 2 port of fastai's ``sgdr``.
    """

    def __init__(self) -> None:
        super().__init__()
        self._batches: Columns = {}
        self._epochs: Columns = {}

    @property
    def batch_history(self) -> Columns:
        """For each batch its base learning rate in ``lrs``, and its loss and metrics.

        The lists have equal lengths; a number that a batch did not have is NaN.
        """
        self._fetch()
        return self._batches

    @property
    def epoch_history(self) -> Columns:
        """For each epoch Keras' logs, validation included, and in ``lrs`` the last rate."""
        return self._epochs

    def receive(self, rows: list[BatchRow]) -> None:
        """Append the rows."""
        for row in rows:
            loss, rate = row["loss"], row["rate"]
            numbers = {"lrs": float("nan") if rate is None else float(rate)}
            if loss is not None:
                numbers["loss"] = float(loss)
            metrics = {name: float(value) for name, value in (row["metrics"] or {}).items()}
            _append(self._batches, numbers | metrics)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, object] | None = None) -> None:
        super().on_epoch_end(epoch, logs)
        last = {"lrs": self._batches["lrs"][-1]} if self._batches else {}
        numbers = {
            name: value
            for name, value in (logs or {}).items()
            if isinstance(value, int | float) and not isinstance(value, bool)
        }
        _append(self._epochs, last | numbers)

    def save(self, path: str | Path) -> None:
        """Write both histories to a JSON file."""
        data = {
            "layerwise": "performance",
            "version": _VERSION,
            "batch_history": self.batch_history,
            "epoch_history": self.epoch_history,
        }
        Path(path).write_text(json.dumps(data))

    def load(self, path: str | Path) -> None:
        """Take both histories from a file that ``save`` wrote; training appends to them.

        Raises:
            RecorderError: ``save`` did not write this file.
        """
        try:
            data = json.loads(Path(path).read_text())
        except ValueError:
            data = None
        if not isinstance(data, dict) or data.get("layerwise") != "performance":
            raise RecorderError(f"{path} is not a file that PerformanceLogger.save() wrote.")
        version(data.get("version"), f"{path}", RecorderError, _VERSION)
        self._batches, self._epochs = data["batch_history"], data["epoch_history"]


def _append(columns: Columns, row: Mapping[str, float]) -> None:
    length = max(map(len, columns.values()), default=0)
    for name in row:
        columns.setdefault(name, [float("nan")] * length)
    for name, column in columns.items():
        column.append(float(row.get(name, float("nan"))))
