"""PerformanceLogger: every batch's and epoch's numbers, kept in memory as plain lists."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from layerwise.errors import RecorderError
from layerwise.keras._callbacks.batch_callback import BatchCallback
from layerwise.keras._callbacks.batch_rows import Row

_VERSION = 1

Columns = dict[str, list[float]]


class PerformanceLogger(BatchCallback):
    """Keeps what each batch and epoch gave, as Keras' ``History`` does for epochs alone.

    The lists grow with the training; for long ones, or to have it safe on disk, there is
    ``Recorder``. Values are fetched from the device many batches at a time, also when
    ``batch_history`` is read: don't read it after each batch, if speed matters.

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
        """For each batch its base learning rate in ``lrs``, and its own ``loss`` and metrics.

        Lists of equal length; a number that a batch did not have is nan.
        """
        self._fetch()
        return self._batches

    @property
    def epoch_history(self) -> Columns:
        """For each epoch Keras' epoch logs, validation among them, and in ``lrs`` the last rate."""
        return self._epochs

    def receive(self, rows: list[Row]) -> None:
        """Append the rows."""
        for row in rows:
            loss = {} if row["loss"] is None else {"loss": row["loss"]}
            rate = float("nan") if row["rate"] is None else row["rate"]
            _append(self._batches, {"lrs": rate} | loss | row["metrics"])

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        super().on_epoch_end(epoch, logs)
        last = {"lrs": self._batches["lrs"][-1]} if self._batches else {}
        _append(self._epochs, last | {k: v for k, v in (logs or {}).items() if _is_number(v)})

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
            RecorderError: The file is none that ``save`` wrote.
        """
        try:
            data = json.loads(Path(path).read_text())
        except ValueError:
            data = None
        if not isinstance(data, dict) or data.get("layerwise") != "performance":
            raise RecorderError(f"{path} is no file that PerformanceLogger.save() wrote.")
        if data.get("version") != _VERSION:
            raise RecorderError(
                f"{path} is of version {data.get('version')!r}; this Layerwise knows {_VERSION}."
            )
        self._batches, self._epochs = data["batch_history"], data["epoch_history"]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _append(columns: Columns, row: Mapping[str, float]) -> None:
    length = max(map(len, columns.values()), default=0)
    for name in row:
        columns.setdefault(name, [float("nan")] * length)
    for name, column in columns.items():
        column.append(float(row.get(name, float("nan"))))
