"""The thread that serves one sink, so that nothing a sink does can stop training."""

import contextlib
import threading
import time
from queue import Empty, SimpleQueue
from typing import Protocol

from layerwise._text import shorten

PATIENCE = 5.0
"""Seconds. A sink that does nothing for so long while training waits for it hangs."""

MOST_BEHIND = 1000
"""So many rows wait for a sink at most. Then training waits until half of them are written."""

GRACE = 1.0
"""So many seconds in all a sink may keep training waiting row by row; then it works behind."""

QUICK = 1e-3
"""A row that takes no longer than this is not counted."""

_MOST_TEXT = 300


class Written(Protocol):
    """What a feed needs of a sink."""

    def write(self, step: int, values: dict[str, float]) -> None:
        """Take one row."""

    def close(self) -> None:
        """Write what is held back."""


class Feed:
    """Hands rows to a sink in a thread of its own, which is a daemon: it keeps no process alive.

    Attributes:
        sink: The sink.
        failure: Why the sink has to be dropped, or None.
    """

    def __init__(self, sink: Written) -> None:
        self.sink = sink
        self.failure: str | None = None
        self._rows: SimpleQueue[tuple[int, dict[str, float]] | None] = SimpleQueue()
        self._answers: SimpleQueue[None] = SimpleQueue()
        self._given = 0
        self._written = 0
        self._grace = GRACE
        self._since = 0.0  # when the sink was last seen to do something
        self._abandoned = False
        self._closing = False
        self._once = threading.Lock()
        self._thread: threading.Thread | None = None

    @property
    def _behind(self) -> int:
        return self._given - self._written

    def is_served_by_this_thread(self) -> bool:
        """Whether it is the sink that asks."""
        return self._thread is not None and self._thread.ident == threading.get_ident()

    def give(self, step: int, values: dict[str, float]) -> None:
        """Pass a row on, and wait for it while the sink is quick."""
        self._start()
        self._rows.put((step, values))
        self._given += 1
        started = time.monotonic()
        if self._grace > 0:
            self._wait_until(0, started + self._grace)
            spent = time.monotonic() - started
            if spent > QUICK:
                self._grace -= spent
        else:
            full = self._behind >= MOST_BEHIND
            wanted = MOST_BEHIND // 2 if full else MOST_BEHIND
            if not self._wait_until(wanted, started + PATIENCE):
                self._fail("is too slow", f"it is {self._behind:,} rows behind")

    def end(self) -> None:
        """Tell the sink that no more rows come."""
        self._start()
        self._since = time.monotonic()
        self._rows.put(None)

    def wait_for_end(self) -> None:
        """Wait until the sink has written what is left and is closed, unless it hangs."""
        half = MOST_BEHIND // 2
        while self._behind > 0 and self.failure is None:
            left = max(0, self._behind - half)
            begun = self._since
            if self._wait_until(left, begun + PATIENCE):
                self._since = time.monotonic()
            else:
                self._fail("hangs", f"{self._behind:,} rows are not written after {PATIENCE:g} s")
        thread = self._thread
        if self.failure is None and thread is not None and not self.is_served_by_this_thread():
            thread.join(max(0.0, self._since + PATIENCE - time.monotonic()))
            if thread.is_alive():
                self._fail("hangs", f"it has not finished after {PATIENCE:g} s")

    def abandon(self) -> None:
        """End the sink as well as it can be ended; wait a moment for that."""
        self._abandoned = True
        self._rows.put(None)
        if self._thread is None or not self._thread.ident or self.is_served_by_this_thread():
            return
        self._thread.join(GRACE)
        if self._thread.is_alive():
            # It hangs in a call of its own, so another thread has to end it.
            ending = threading.Thread(target=self._abort, daemon=True)
            with contextlib.suppress(RuntimeError):
                ending.start()
                ending.join(GRACE)

    def _start(self) -> None:
        if self._thread is None:
            name = f"layerwise-{type(self.sink).__name__}"
            self._thread = threading.Thread(target=self._serve, name=name, daemon=True)
        if self._thread.ident is None:
            try:
                self._thread.start()
            except RuntimeError as error:  # the system has no more threads, or Python ends
                self._fail("could not begin", _text(error))

    def _serve(self) -> None:
        """Write rows until the end; this is what the thread does."""
        while (row := self._rows.get()) is not None and not self._abandoned:
            try:
                self.sink.write(*row)
            except BaseException as error:  # also what a client raises to end the process
                self._fail(f"could not write step {row[0]}", _text(error))
                self._answers.put(None)
                break
            self._written += 1
            self._answers.put(None)
        if self.failure is None and not self._abandoned:
            self._closing = True
            try:
                self.sink.close()
            except BaseException as error:
                self._fail("could not finish", _text(error))
        if self.failure is not None or self._abandoned:
            self._abort()

    def _abort(self) -> None:
        """End a sink that has failed, once; what goes wrong then is of no more use to anybody."""
        if not self._once.acquire(blocking=False):
            return
        with contextlib.suppress(BaseException):
            abort = getattr(self.sink, "abort", None)
            if abort is not None:
                abort()
            elif not self._closing:
                self.sink.close()

    def _fail(self, what: str, why: str) -> None:
        self.failure = self.failure or f"{what} and gets nothing more: {why}"

    def _wait_until(self, behind: int, deadline: float) -> bool:
        """Wait until the sink is no more rows behind, or fails; whether it is."""
        with contextlib.suppress(Empty):
            while True:
                self._answers.get_nowait()
        while self._behind > behind and self.failure is None:
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            with contextlib.suppress(Empty):
                self._answers.get(timeout=left)
        return self._behind <= behind


def _text(error: BaseException) -> str:
    try:
        text = f"{type(error).__name__}: {error}".rstrip(".")
    except Exception:
        text = type(error).__name__
    return shorten(text, _MOST_TEXT)
