"""Faults on purpose: a call or a line of code that fails or is interrupted once."""

import contextlib
import errno
import os
import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import pytest

BEFORE, AFTER, HALF = "before", "after", "half"
"""When a call fails: before it does anything, when it has done all, or half of it."""


class Fault:
    """Lets one call of several functions fail.

    Args:
        at: The number of the call, from 0, over all functions.
        moment: When it fails.
        error: What is raised.
    """

    def __init__(self, at: int, moment: str, error: type[BaseException]) -> None:
        self.at, self.moment, self.error = at, moment, error
        self.calls = 0

    def around(
        self, function: Callable[..., Any], *, half: Callable[..., Any] | None = None
    ) -> Any:
        """The function, as it fails; ``half`` does a half of what it does."""

        def called(*arguments: Any, **options: Any) -> Any:
            number, self.calls = self.calls, self.calls + 1
            if number != self.at:
                return function(*arguments, **options)
            if self.moment == AFTER:
                function(*arguments, **options)
            if self.moment == HALF and half is not None:
                half(*arguments, **options)
            if self.error is OSError:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            raise self.error("on purpose")

        return called


@contextlib.contextmanager
def failing_files(fault: Fault) -> Iterator[None]:
    """Every call that writes, looks at or closes a file by its number may be the one that fails."""
    write = os.write

    def half(file: int, data: bytes) -> None:
        write(file, data[: len(data) // 2])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "write", fault.around(os.write, half=half))
        for name in ("fstat", "lseek", "ftruncate", "close"):
            patch.setattr(os, name, fault.around(getattr(os, name)))
        yield


def _is_finalizing(frame: FrameType | None) -> bool:
    """Whether Python is in a ``__del__``, where it drops whatever is raised."""
    while frame is not None and frame.f_code.co_name != "__del__":
        frame = frame.f_back
    return frame is not None


class Interrupted(BaseException):
    """As a KeyboardInterrupt, but of the tests' own."""


@contextlib.contextmanager
def interrupted(
    at: int, package: str, count: list[int], handler: Callable[[], object] | None = None
) -> Iterator[None]:
    """Do something before one bytecode of a package, as a signal does.

    Args:
        at: The number of the bytecode, from 0, among those that are run.
        package: The start of the modules' names.
        count: Gets the number of bytecodes that were run.
        handler: What is done; by default ``Interrupted`` is raised.
    """
    count[:] = [0]
    handled: list[bool] = []

    def trace(frame: FrameType, event: str, _: object) -> Any:
        if not str(frame.f_globals.get("__name__")).startswith(package):
            return None
        frame.f_trace_opcodes = True
        if event == "opcode" and handled != [True]:
            number = count[0]
            count[0] += 1
            if number == at and not _is_finalizing(frame):
                if handler is None:
                    raise Interrupted
                handled.append(True)
                handler()
                handled.append(False)
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(before)
