"""The file of a record, which is only appended to, and the warning when that fails."""

import inspect
import os
import time
import warnings
from pathlib import Path

from layerwise.errors import RecorderError
from layerwise.recorder._format import FILE, check_header, header_line, is_torn_header

_CHUNK = 1 << 16


class RecorderWarning(UserWarning):
    """Recording stopped, wholly or for one sink, or a record has lines that can't be read.

    Training goes on: a recorder never stops it because of a full disk or a removed folder.

    Examples:
        >>> import warnings
        >>> from layerwise.recorder import RecorderWarning
        >>> with warnings.catch_warnings():  # to stop the training at once instead
        ...     warnings.simplefilter("error", RecorderWarning)
    """


def warn(message: str) -> None:
    """Warn at the line outside Layerwise that led here."""
    frame, level = inspect.currentframe(), 1
    while frame is not None and str(frame.f_globals.get("__name__")).startswith("layerwise."):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, RecorderWarning, stacklevel=level)


class RecordFile:
    """``record.jsonl`` of a run, open for appending.

    Every ``append`` hands its text to the operating system in one call, so the text survives if
    this process dies. When that fails, there is one warning, and nothing more is written.

    Args:
        run: The run's folder; it is made if it does not exist.

    Raises:
        RecorderError: The folder can't be made, or the file there is no record.
    """

    def __init__(self, run: Path) -> None:
        self.path = run / FILE
        self.started = time.time()
        self.writing = True
        self.warned = False
        try:
            run.mkdir(parents=True, exist_ok=True)
            self._file: int | None = os.open(
                self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666
            )
        except (OSError, ValueError) as error:  # ValueError: what no path can have in it
            reason = getattr(error, "strerror", error)
            raise RecorderError(
                f"{self.path} can't be written: {reason}. Give the recorder a folder "
                "that can be written to."
            ) from error
        try:
            self.reopened = self._repair()
        except BaseException:
            self.close()
            raise
        if not self.reopened:
            self.append(header_line(self.started))

    def _repair(self) -> bool:
        """Cut off a torn last line, and say whether there is a record to continue."""
        assert self._file is not None
        size = os.fstat(self._file).st_size
        if size == 0:
            return False
        os.lseek(self._file, 0, os.SEEK_SET)
        head = os.read(self._file, _CHUNK)
        first, end, _ = head.partition(b"\n")
        if not end and is_torn_header(head):
            os.ftruncate(self._file, 0)
            return False
        self.started = check_header(first, self.path)
        os.ftruncate(self._file, self._end_of_last_line(size))
        return True

    def _end_of_last_line(self, size: int) -> int:
        assert self._file is not None
        for start in range((size - 1) // _CHUNK * _CHUNK, -1, -_CHUNK):
            os.lseek(self._file, start, os.SEEK_SET)
            found = os.read(self._file, _CHUNK).rfind(b"\n")
            if found >= 0:
                return start + found + 1
        return 0

    def append(self, text: str) -> None:
        """Write whole lines in one call."""
        if not self.writing or self._file is None:
            return
        data = text.encode()
        try:
            # An open file outlives its folder, so writing to it would seem to succeed.
            if os.fstat(self._file).st_nlink == 0:
                self.stop("it was removed")
                return
            written = os.write(self._file, data)
            while written < len(data):
                written += os.write(self._file, data[written:])
        except OSError as error:
            self.stop(error.strerror or str(error))

    def stop(self, why: str) -> None:
        """Stop writing, and say so once."""
        self.writing = False
        self.warn(
            f"Recording to {self.path} has stopped: {why}. Training goes on, but its next rows "
            "are not in the record."
        )

    def warn(self, message: str) -> None:
        """Warn about this run's folder, once."""
        if not self.warned:
            self.warned = True
            warn(message)

    def close(self) -> None:
        """Close the file; closing it again does nothing."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
