"""Writing a file whole, or not at all."""

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from layerwise._text import name_text
from layerwise.errors import LayerwiseError

RECORD = "record.jsonl"
"""What the record in a run's folder is called. It is only appended to, and never replaced."""


@contextmanager
def written_whole(
    path: str | os.PathLike[str], what: str, error: type[LayerwiseError]
) -> Iterator[BinaryIO]:
    """Open a file to write; whoever reads it sees the old one or the new one, never a part of it.

    What is written goes into a file beside it that takes its place at the end. If the block fails,
    that file is removed, and the old one stays. The record of a run is not replaced.

    Args:
        path: The file; or a device such as ``/dev/stdout``, which is written to directly.
        what: What is written, for the start of the message: ``"The picture"``.
        error: The error to raise if it can't be written.

    Raises:
        LayerwiseError: The file can't be written, or is the record of a run; see ``error``.

    Examples:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "notes.txt"
        >>> with written_whole(path, "The note", LayerwiseError) as file:
        ...     _ = file.write(b"whole")
        >>> path.read_bytes()
        b'whole'
    """
    try:
        target = Path(path)
        there = target.exists()
        if there and not os.access(target, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        part = None
        if not there or target.is_file() or target.is_dir():
            target = Path(os.path.realpath(target))  # the file that a link leads to
            if there and target.name == RECORD:
                raise error(
                    f"{what} can't be written to {name_text(str(path))}: that is the record of a "
                    "run, which would be lost. Choose another name."
                )
            part = target.with_name(f".{secrets.token_hex(4)}.part")
        file = target.open("wb") if part is None else part.open("xb")
    except LayerwiseError:
        raise
    except (OSError, ValueError, TypeError) as caught:  # no folder, no name of a file, no path
        raise error(_unwritable(path, what, caught)) from caught
    try:
        with file:
            yield file
        if part is not None:
            part.replace(target)
    except OSError as caught:
        raise error(_unwritable(path, what, caught)) from caught
    finally:
        if part is not None:
            with suppress(OSError):
                part.unlink(missing_ok=True)


def _unwritable(path: object, what: str, caught: Exception) -> str:
    reason = getattr(caught, "strerror", None) or caught
    return (
        f"{what} can't be written to {name_text(str(path))}: {reason}. Choose an existing folder "
        "that can be written to."
    )
