"""Listening: a callback that hears every batch of a training, some batches at a time."""

from abc import ABC, abstractmethod
from typing import Any

import keras

from layerwise.keras._callbacks.batch_rows import Row
from layerwise.keras._callbacks.batch_stream import BatchStream, open_stream


class BatchCallback(keras.callbacks.Callback, ABC):
    """A callback that is handed the rows of batches, and waits for no device meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        self._stream: BatchStream | None = None
        self._wait = 0.5

    @abstractmethod
    def receive(self, rows: list[Row]) -> None:
        """Take some batches' rows."""

    def wants_ratios(self, step: int) -> bool:
        """Whether the update-to-weight ratios of this step are wanted."""
        del step
        return False

    def on_train_begin(self, logs: Any = None) -> None:
        self._fetch()  # what is left of a training that was broken off
        self._stream = open_stream(self.model, self._stream, self)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if self._stream is not None:
            self._stream.new_epoch(epoch)

    # Not on_train_batch_end: Keras would fetch the logs of each batch for it, and wait.
    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        if self._stream is not None:
            self._stream.armed = True
            self._stream.fetch(self._wait)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._fetch()

    def on_train_end(self, logs: Any = None) -> None:
        self._fetch()
        if self._stream is not None:
            self._stream.leave()

    def _fetch(self) -> None:
        if self._stream is not None:
            self._stream.fetch()
