"""The file of a record, which is only appended to, by one recorder at a time."""

import contextlib
import inspect
import json
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any, Literal

from layerwise.errors import RecorderError
from layerwise.recorder._format import (
    FILE,
    LONGEST_LINE,
    check_header,
    header_line,
    is_torn_header,
    read_started,
)

fcntl: Any
try:
    import fcntl
except ModuleNotFoundError:  # Windows
    fcntl = None

_CHUNK = 1 << 16

# Of a message: the file can't be written, can't be locked, is another recorder's, or two threads
# write to it by turns.
Kind = Literal["failure", "locks", "taken", "threads"]

# How long to wait for the lock: a process that was killed needs a moment to be gone.
CLAIM_SECONDS = 1.0

# The system drops the lock when this process closes the file elsewhere, as a reader does. So it is
# taken again each time after this number of rows.
CLAIM_EVERY = 64


class RecorderWarning(UserWarning):
    """Recording stopped, wholly or for one sink, or a record has parts that can't be read.

    Training goes on: a recorder never stops it because of a full disk or a removed folder.

    Examples:
        >>> import warnings
        >>> from layerwise.recorder import RecorderWarning
        >>> with warnings.catch_warnings():  # to stop the training at once instead
        ...     warnings.simplefilter("error", RecorderWarning)
    """


def warn(*messages: str) -> None:
    """Give each warning at the line outside Layerwise that led here."""
    here = inspect.currentframe()
    assert here is not None
    frame: FrameType | None = here
    while frame is not None and str(frame.f_globals.get("__name__")).startswith("layerwise."):
        frame = frame.f_back
    frame = frame or here
    registry = frame.f_globals.setdefault("__warningregistry__", {})
    raised = None
    for message in messages:
        try:
            warnings.warn_explicit(
                message,
                RecorderWarning,
                frame.f_code.co_filename,
                frame.f_lineno,
                registry=registry,
            )
        except RecorderWarning as error:  # one that the user turned into an error
            raised = raised or error
    if raised is not None:
        raise raised


class RecordFile:
    """``record.jsonl`` of a run, open for appending.

    Every ``append`` hands its text to the operating system in one call, so the text survives if
    this process dies. The file then has all of the text or none: what a full disk or an
    interruption leaves half written is cut off again. Messages are kept in ``messages`` for the
    recorder to warn of, each kind once.

    The file is locked against other processes. Nothing can lock it against a second recorder in
    this process, so the end of the file is looked at before each row: the recorder that declared
    columns last goes on, and an older one stops. That is also what is left on a file system
    without locks.

    Args:
        run: The run's folder; it is made if it does not exist.

    Raises:
        RecorderError: The folder can't be made, the file there is no record, or another process
            is recording in it.
    """

    _file: int | None = None  # also where the constructor was interrupted

    def __init__(self, run: Path) -> None:
        self.path = run / FILE
        self.started = time.time()
        self.messages: list[str] = []
        self._kinds_kept: set[str] = set()
        self._begun = self._ended = False
        self._end = 0
        self._unconfirmed = b""
        self._until_claim = 0
        self._open()
        try:
            if not self._claim(CLAIM_SECONDS):
                raise RecorderError(
                    f"Another process is recording in {run}. Wait until it has ended, or give this "
                    "recorder another folder; of several processes only the first may have one."
                )
            self.reopened = self._repair()
        except OSError as error:
            self.close()
            raise RecorderError(f"{self.path} can't be read: {error.strerror}.") from error
        except BaseException:
            self.close()
            raise
        header = header_line(self.started)
        self._header = header.encode()
        if not self.reopened:
            self.append("")
        # Two recorders may find the file empty at one time; one of them writes first.
        self.fresh = not self.reopened and self._end == len(self._header)

    def _open(self) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(
                self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666
            )
        except (OSError, ValueError) as error:  # a ValueError for a name with a zero in it
            raise RecorderError(
                f"{str(self.path)!r} can't be written: {getattr(error, 'strerror', None) or error}."
                " Give the recorder a folder that can be written to."
            ) from error

    def _claim(self, seconds: float = 0.0) -> bool:
        """Lock the file for this process, unless another has it for so long."""
        if fcntl is None:
            return True
        deadline = time.monotonic() + seconds
        while True:
            try:
                fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            except (BlockingIOError, PermissionError):
                if time.monotonic() >= deadline:
                    return False
                time.sleep(0.02)
            except OSError as error:
                self.keep_message(
                    "locks",
                    f"{self.path} can't be locked here: {error.strerror}. Make sure that no other "
                    "process records in this run.",
                )
                return True

    def claim_again(self) -> None:
        """Go on in a process that was forked off, if the one that recorded before has ended."""
        self._begun = False
        if self._file is not None and not self._claim():
            self.end("this process was forked off the one that records in it", "taken")

    def _repair(self) -> bool:
        """Cut off a torn last line, and say whether there is a record to continue."""
        assert self._file is not None
        self._end = os.fstat(self._file).st_size
        if self._end == 0:
            return False
        os.lseek(self._file, 0, os.SEEK_SET)
        head = os.read(self._file, _CHUNK)
        first, end, _ = head.partition(b"\n")
        if not end and is_torn_header(head):
            self._cut_off(0)
            return False
        self.started = read_started(check_header(first, self.path), self.path)
        self._cut_off(self._end_of_last_line(self._end))
        return True

    def _end_of_last_line(self, size: int) -> int:
        assert self._file is not None
        for start in range((size - 1) // _CHUNK * _CHUNK, -1, -_CHUNK):
            os.lseek(self._file, start, os.SEEK_SET)
            found = os.read(self._file, _CHUNK).rfind(b"\n")
            if found >= 0:
                return start + found + 1
        return 0

    def _cut_off(self, end: int) -> None:
        assert self._file is not None
        if end < os.fstat(self._file).st_size:
            os.ftruncate(self._file, end)
        self._end = end

    def notice_changes(self, owns: Callable[[int], bool]) -> bool:
        """See what others have done to the file since the last row.

        Args:
            owns: Whether the columns with this id were declared by this recorder.

        Returns:
            Whether this recorder has not begun to write, and another one has: its rows are to be
            replaced.
        """
        if self._file is None or self._ended:
            return False
        try:
            status = os.fstat(self._file)
            # Nearly always nothing has happened, and there is no more to ask.
            usual = status.st_size == self._end and status.st_nlink and not self._unconfirmed
            if usual and self._until_claim > 0:
                self._until_claim -= 1
                return False
            return self._examine(owns)
        except OSError as error:
            self._fail(error)
            return False

    def _examine(self, owns: Callable[[int], bool]) -> bool:
        assert self._file is not None
        if self._unconfirmed:
            self._settle()
        # A signal's handler may record, too: so what was there before is kept at hand.
        end, overtaken = self._end, False
        status = os.fstat(self._file)
        # An open file outlives its folder, so writing to it would seem to succeed.
        if status.st_nlink == 0:
            self.end("it was removed", "failure")
        elif status.st_size < end:
            self.end("something else made it shorter", "failure")
        elif self._begun and self._is_taken(status.st_size, owns):
            self.end("a newer recorder writes to it", "taken")
        else:
            overtaken = not self._begun and status.st_size > end
            self._end = status.st_size
        if self._until_claim == 0:
            self._until_claim = CLAIM_EVERY
            if not self._claim():
                self.end("another process records in it now", "taken")
        return overtaken

    def append(self, text: str) -> bool:
        """Write whole lines in one call, and say whether they are in the file."""
        if self._file is None or self._ended:
            return False
        start = self._end
        data = (b"" if start else self._header) + text.encode()
        try:
            self._unconfirmed = data
            try:
                written = os.write(self._file, data)
                while written < len(data):
                    written += os.write(self._file, data[written:])
                # In the moment before, a second recorder may have written: then the next look
                # begins before it.
                if os.lseek(self._file, 0, os.SEEK_CUR) == start + len(data):
                    self._end = start + len(data)
                self._unconfirmed = b""
                self._begun = bool(text)
            finally:
                if self._unconfirmed:
                    with contextlib.suppress(OSError):
                        self._settle()
        except OSError as error:
            self._fail(error)
            return False
        return True

    def _fail(self, error: OSError) -> None:
        self.keep_message(
            "failure",
            f"{self.path} could not be written: {error.strerror or error}. Training goes on, but "
            "its rows are not in the record until that is mended.",
        )

    def _is_taken(self, size: int, owns: Callable[[int], bool]) -> bool:
        """Whether another recorder has declared columns, and this one has not since."""
        declared = list(self._declared_since(size)) if size > self._end else []
        return bool(declared) and not owns(declared[-1])

    def _declared_since(self, size: int) -> Iterator[int]:
        """The ids of the columns declared after the known end of the file, in order."""
        assert self._file is not None
        os.lseek(self._file, self._end, os.SEEK_SET)
        for line in os.read(self._file, min(size - self._end, LONGEST_LINE)).splitlines():
            if line.startswith(b'{"columns"'):
                with contextlib.suppress(ValueError, RecursionError, KeyError, TypeError):
                    yield int(json.loads(line)["id"])
        # Who has written more than that is no older recorder that is about to stop.
        if size - self._end > LONGEST_LINE:
            yield -1

    def _settle(self) -> None:
        """After an interruption or an error: keep what was written whole, else cut it off."""
        assert self._file is not None
        start, data, size = self._end, self._unconfirmed, os.fstat(self._file).st_size
        os.lseek(self._file, start, os.SEEK_SET)
        found = os.read(self._file, max(0, min(size - start, len(data))))
        if found == data:
            self._end = start + len(found)
        elif found and data.startswith(found) and size == start + len(found):
            os.ftruncate(self._file, start)
        self._unconfirmed = b""

    def end(self, why: str, kind: Kind) -> None:
        """Write nothing more, and say so once."""
        self._ended = True
        self.keep_message(
            kind,
            f"Recording to {self.path} has stopped: {why}. Training goes on, but its next rows "
            "are not in the record.",
        )

    def keep_message(self, kind: Kind, message: str) -> None:
        """Keep a message for the recorder to warn of, if none of its kind was given before."""
        if kind not in self._kinds_kept:
            self._kinds_kept.add(kind)
            self.messages.append(message)

    def close(self) -> None:
        """Close the file; closing it again does nothing."""
        file, self._file = self._file, None
        if file is not None:
            try:
                os.close(file)
            except OSError as error:
                self.keep_message("failure", f"{self.path} could not be closed: {error.strerror}.")

    # A default argument, since modules are gone where Python ends, and the system closes the file.
    def __del__(self, ending: Callable[[], bool] = sys.is_finalizing) -> None:
        if not ending():
            self.close()
