"""A sink into event files, as TensorBoard reads them."""

import os
import time
from pathlib import Path
from typing import Any

from layerwise.errors import RecorderError


class TensorBoard:
    """Hands the rows on to TensorBoard, through tensorboardX; no TensorFlow and no PyTorch needed.

    Rows that are void because training went back are hidden in TensorBoard as well.

    Args:
        folder: Where the event files go, such as the run's own folder.

    Raises:
        RecorderError: tensorboardX is not installed.

    Examples:
        >>> import tempfile
        >>> from layerwise.recorder import Recorder, TensorBoard
        >>> run = tempfile.mkdtemp()
        >>> with Recorder(run, sinks=[TensorBoard(run)]) as recorder:
        ...     recorder.log(step=0, loss=2.5)

        Then look at it: ``tensorboard --logdir runs``.
    """

    def __init__(self, folder: str | Path) -> None:
        self._folder = str(folder)
        try:
            self._writer = self._opened()
        except ModuleNotFoundError as error:
            raise RecorderError(
                'TensorBoard needs tensorboardX: pip install "layerwise[tensorboard]"'
            ) from error
        self._step: int | None = None
        self._closed = False

    def _opened(self) -> Any:
        from tensorboardX import FileWriter

        # Two writers of one second would have one name, and the second erase the first.
        return FileWriter(self._folder, filename_suffix=f".{os.getpid()}.{time.time_ns()}")

    def write(self, step: int, values: dict[str, float]) -> None:
        """Write one event with all the values; after ``close`` into a file of its own."""
        from tensorboardX.proto.event_pb2 import Event, SessionLog
        from tensorboardX.proto.summary_pb2 import Summary

        if self._closed:
            self._writer = self._opened()  # a writer's own reopen() finds its thread gone
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
