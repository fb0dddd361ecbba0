"""BatchCallback: a callback that gets the rows of all batches, many at a time."""

from abc import ABC, abstractmethod
from collections.abc import Mapping

import keras

from layerwise.keras._callbacks.batch_stream import BatchStream, open_stream
from layerwise.recorder import BatchRow


class BatchCallback(keras.callbacks.Callback, ABC):
    """A callback that gets a row for every batch, without making any batch wait for the device."""

    def __init__(self) -> None:
        super().__init__()
        self._stream: BatchStream | None = None
        self._wait = 0.5

    @abstractmethod
    def receive(self, rows: list[BatchRow]) -> None:
        """Take the rows of some batches, in the order of training."""

    def wants_ratios(self, step: int) -> bool:
        """Whether to measure the update-to-weight ratios of this step."""
        del step
        return False

    def on_train_begin(self, logs: Mapping[str, object] | None = None) -> None:
        self._fetch()  # the rows left over from a training that an exception ended
        self._stream = open_stream(self.model, self._stream, self)

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, object] | None = None) -> None:
        if self._stream is not None:
            self._stream.begin_epoch(epoch)

    # Not on_train_batch_end: for a callback that has it, Keras fetches the logs of every batch.
    def on_train_batch_begin(self, batch: int, logs: Mapping[str, object] | None = None) -> None:
        if self._stream is not None:
            self._stream.begin_batch(self._wait)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, object] | None = None) -> None:
        self._fetch()

    def on_train_end(self, logs: Mapping[str, object] | None = None) -> None:
        self._fetch()
        if self._stream is not None:
            self._stream.leave()

    def _fetch(self) -> None:
        if self._stream is not None:
            self._stream.fetch()
