"""A sink that writes event files for TensorBoard."""

import os
import time
from pathlib import Path
from typing import Any

from layerwise.errors import RecorderError


class TensorBoard:
    """Writes the rows for TensorBoard, by tensorboardX: neither TensorFlow nor PyTorch is needed.

    Rows that are void because training went back are hidden in TensorBoard, too.

    Args:
        folder: Where the event files go, such as the run's folder.

    Raises:
        RecorderError: tensorboardX is not installed.

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
            self._writer = self._opened()
        except ModuleNotFoundError as error:
            raise RecorderError(
                'TensorBoard needs tensorboardX: pip install "layerwise[tensorboard]".'
            ) from error
        self._step: int | None = None
        self._closed = False

    def _opened(self) -> Any:
        from tensorboardX import FileWriter

        # Two writers made in one second would share a name, and the second would erase the first.
        return FileWriter(self._folder, filename_suffix=f".{os.getpid()}.{time.time_ns()}")

    def write(self, step: int, values: dict[str, float]) -> None:
        """Write one event with all values; after ``close``, into a new file."""
        from tensorboardX.proto.event_pb2 import Event, SessionLog
        from tensorboardX.proto.summary_pb2 import Summary

        if self._closed:
            self._writer = self._opened()  # reopen() would find the writer's thread gone
            self._closed = False
        if self._step is None or step < self._step:
            start = SessionLog(status=SessionLog.START)
            self._writer.add_event(Event(session_log=start), step)
        self._step = step
        row = [Summary.Value(tag=name, simple_value=value) for name, value in values.items()]
        self._writer.add_summary(Summary(value=row), step)

    def close(self) -> None:
        """Write what waits in memory."""
        self._writer.close()
        self._closed = True
