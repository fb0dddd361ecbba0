"""What a recorder passes its rows on to, and what happens when that fails."""

import atexit
import os
import threading
import weakref
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Protocol, runtime_checkable

from layerwise.errors import RecorderError
from layerwise.recorder._file import warn
from layerwise.recorder._format import EPOCH, STEP, TIME
from layerwise.recorder._sinks.feed import Feed


@runtime_checkable
class Sink(Protocol):
    """Takes the rows of a recorder, beside its file; any object with these two methods does.

    Both are called from a thread of the sink's own, never two at once, so that a sink can't stop
    training. As long as a sink is quick, the recorder waits for each row; one that has kept
    training waiting for a second in all is left to work behind. A sink is dropped with a warning
    if it raises, if it is 1,000 rows behind and does not write 500 of them within five seconds, or
    if it takes five seconds to finish. Then its method ``abort()`` is called if it has one, else
    ``close()``. A row is in the file before a sink gets it, whatever the sink does.

    A sink may record in the same run, such as a value that it works out. Such a row goes to the
    file alone.

    Examples:
        >>> import tempfile
        >>> from layerwise.recorder import Recorder, Sink
        >>> class Print:
        ...     def write(self, step, values):
        ...         print(step, values)
        ...     def close(self):
        ...         print("done")
        >>> isinstance(Print(), Sink)
        True
        >>> with tempfile.TemporaryDirectory() as run, Recorder(run, sinks=[Print()]) as recorder:
        ...     recorder.log(step=0, loss=2.5, rates={"body": 1e-4})
        0 {'loss': 2.5, 'rates/body': 0.0001}
        done
    """

    def write(self, step: int, values: dict[str, float]) -> None:
        """Take one row.

        Args:
            step: Optimizer updates applied before this batch, or by the end of this epoch.
            values: The numbers by column: ``loss``, ``rate``, metrics, ``rates/<group>``,
                ``ratios/<layer>``. In an epoch's row each name starts with ``epoch/``.
        """

    def close(self) -> None:
        """Write what is still held back. Rows may come again later, from another training."""


class Sinks:
    """Several sinks. One that fails is dropped with a message, and training goes on.

    Attributes:
        feeds: The sinks that are still served.
        messages: What there is to warn of.
    """

    def __init__(self, sinks: Iterable[Sink]) -> None:
        self.messages: list[str] = []
        self.feeds: list[Feed] = []
        self._lock = threading.RLock()
        self._at_exit = partial(_close_at_exit, weakref.ref(self))
        self._process = os.getpid()
        self._is_open = True
        for sink in sinks:
            if isinstance(sink, type) or not isinstance(sink, Sink):
                self.feeds = []
                raise RecorderError(
                    f"A sink must have the methods write(step, values) and close(), got {sink!r}. "
                    "See TensorBoard, WeightsAndBiases and MLflow in layerwise.recorder."
                )
            self.feeds.append(Feed(sink))
        if self.feeds:
            # After the exit of a client there would be nobody to finish with; the last
            # function that is registered is called first.
            atexit.register(self._at_exit)
        self._is_open = bool(self.feeds)

    def is_served_by_this_thread(self) -> bool:
        """Whether it is a sink that asks."""
        return any(feed.is_served_by_this_thread() for feed in self.feeds)

    def take(self, kind: str, columns: Sequence[str], values: Sequence[float]) -> None:
        """Pass one row on, as sinks see it."""
        if os.getpid() != self._process:
            self._drop_all("This process was forked off, and its sinks stayed behind; {}.")
            return
        prefix = "epoch/" if kind == "epoch" else ""
        row = dict(zip(columns, values, strict=True))
        epoch = row.pop(EPOCH, 0)
        # The row of an epoch without a step is shown at the epoch's number.
        step = int(row.pop(STEP, epoch))
        del row[TIME]
        with self._lock:
            for feed in tuple(self.feeds):
                feed.give(step, {prefix + name: value for name, value in row.items()})
                if feed.failure:
                    self._drop(feed)

    def close(self) -> None:
        """Let the sinks write what is left, and close them."""
        atexit.unregister(self._at_exit)
        if os.getpid() != self._process:
            self.feeds, self._is_open = [], False
            return
        with self._lock:
            for feed in self.feeds:
                feed.end()
            while self.feeds:
                feed = self.feeds[0]
                feed.wait_for_end()
                if feed.failure:
                    self._drop(feed)
                else:
                    self.feeds.remove(feed)
        self._is_open = False

    def _drop(self, feed: Feed) -> None:
        # Before anything else, so that an interruption can't bring it back.
        self.feeds.remove(feed)
        self.messages.append(
            f"{type(feed.sink).__name__} {feed.failure}. Training and the other records go on."
        )
        feed.abandon()

    def _drop_all(self, message: str) -> None:
        self.feeds = []
        self.messages.append(message.format("the file alone is written"))

    def __del__(self) -> None:
        # A recorder that nobody closed, and nobody can reach any more.
        made = vars(self)  # not all of it, where the constructor was interrupted
        if not made.get("_is_open"):
            return  # nor are there modules to finish with, where Python itself is ending
        atexit.unregister(made.get("_at_exit", _close_at_exit))
        if os.getpid() == made.get("_process"):
            for feed in self.feeds:
                feed.end()


def _close_at_exit(reference: "weakref.ref[Sinks]") -> None:
    sinks = reference()
    if sinks is not None:
        sinks.close()
        warn(*sinks.messages)
