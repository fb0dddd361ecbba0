"""A sink that writes event files for TensorBoard."""

import os
import socket
import time
from pathlib import Path
from typing import Any

from layerwise.errors import RecorderError
from layerwise.recorder._sinks.names import Names

FLUSH_SECONDS = 30.0


class TensorBoard:
    """Writes the rows for TensorBoard, by tensorboardX: neither TensorFlow nor PyTorch is needed.

    Rows that are void because training went back are hidden in TensorBoard, too. TensorBoard keeps
    numbers in single precision.

    Args:
        folder: Where the event files go, such as the run's folder.

    Raises:
        RecorderError: tensorboardX is not installed, or the folder can't be written to.

    Examples:
        >>> import tempfile
        >>> from layerwise.recorder import Recorder, TensorBoard
        >>> run = tempfile.mkdtemp()
        >>> with Recorder(run, sinks=[TensorBoard(run)]) as recorder:
        ...     recorder.log(step=0, loss=2.5)

        ``tensorboard --logdir runs`` shows it.
    """

    def __init__(self, folder: str | Path) -> None:
        self._folder = str(folder)
        try:
            from tensorboardX import record_writer
            from tensorboardX.proto import event_pb2, summary_pb2
        except ModuleNotFoundError as error:
            raise RecorderError(
                'TensorBoard needs tensorboardX: pip install "layerwise[tensorboard]".'
            ) from error
        # tensorboardX' own writer has a thread that dies of a full disk, and training with it.
        self._records, self._events, self._summaries = record_writer, event_pb2, summary_pb2
        self._names = Names()
        self._step: int | None = None
        self._flushed = 0.0
        try:
            self._writer: Any = self._opened()
        except OSError as error:
            raise RecorderError(
                f"{self._folder} can't be written to: {error.strerror}. Give TensorBoard a folder "
                "that can."
            ) from error

    def _opened(self) -> Any:
        self._records.directory_check(self._folder)
        # TensorBoard reads the files in the order of their names.
        parts = f"{time.time():.0f}", socket.gethostname(), str(os.getpid()), str(time.time_ns())
        path = os.path.join(self._folder, ".".join(["events.out.tfevents", *parts]))  # noqa: PTH118
        writer = self._records.RecordWriter(path)
        begin = self._events.Event(wall_time=time.time(), file_version="brain.Event:2")
        writer.write(begin.SerializeToString())
        return writer

    def write(self, step: int, values: dict[str, float]) -> None:
        """Write one event with all values; after ``close``, into a new file."""
        if self._writer is None:
            self._writer = self._opened()
        if self._step is None or step < self._step:
            start = self._events.SessionLog(status=self._events.SessionLog.START)
            self._add(session_log=start, step=step)
        self._step = step
        row = [
            self._summaries.Summary.Value(tag=self._names.of(name), simple_value=value)
            for name, value in values.items()
        ]
        self._add(summary=self._summaries.Summary(value=row), step=step)
        now = time.monotonic()
        if now - self._flushed > FLUSH_SECONDS:
            self._writer.flush()
            self._flushed = now

    def _add(self, **what: Any) -> None:
        event = self._events.Event(wall_time=time.time(), **what)
        self._writer.write(event.SerializeToString())

    def close(self) -> None:
        """Write what waits in memory."""
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()
