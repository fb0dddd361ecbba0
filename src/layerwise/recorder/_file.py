"""An append-only file that a crash can't spoil and a full disk can't stop the training with."""

import os
import time
from pathlib import Path

from layerwise.errors import RecorderError
from layerwise.recorder._format import FILE, check_header, header_line, is_torn_header
from layerwise.recorder._warning import warn

_CHUNK = 1 << 16


class RecordFile:
    """``record.jsonl`` of a run, open for appending.

    Every ``append`` is one call to the operating system: what it was given survives the death
    of this process. When that fails, there is one warning, and nothing more is written.

    Args:
        run: The run's folder; made if it is not there.

    Raises:
        RecorderError: The folder can't be made, or what is there is no record.
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
        except OSError as error:
            raise RecorderError(
                f"A record can't be written to {self.path}: {error.strerror}. Give the recorder a "
                "folder that can be written to."
            ) from error
        try:
            self.reopened = self._repair()
        except BaseException:
            self.close()
            raise
        if not self.reopened:
            self.append(header_line(self.started))

    def _repair(self) -> bool:
        """Cut off a last line without an end; whether there is a record to go on with."""
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
        """Write whole lines, at once."""
        if not self.writing or self._file is None:
            return
        data = text.encode()
        try:
            # An open file outlives its folder, and writing to it would look like success.
            if os.fstat(self._file).st_nlink == 0:
                self.stop("it was removed")
                return
            written = os.write(self._file, data)
            while written < len(data):
                written += os.write(self._file, data[written:])
        except OSError as error:
            self.stop(error.strerror or str(error))

    def stop(self, why: str) -> None:
        """Write no more, and say so once."""
        self.writing = False
        self.warn(
            f"Recording to {self.path} has stopped: {why}. Training goes on; rows from here on "
            "are not in the record."
        )

    def warn(self, message: str) -> None:
        """The one warning about this run's folder."""
        if not self.warned:
            self.warned = True
            warn(message)

    def close(self) -> None:
        """Let the file go; more than once does no harm."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
