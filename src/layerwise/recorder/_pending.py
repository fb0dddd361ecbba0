"""Rows that wait on a device, so that no batch has to wait for one."""

import time
from collections.abc import Callable, Iterable
from typing import Generic, SupportsFloat, TypedDict, TypeVar

from layerwise._checks import whole
from layerwise.errors import RecorderError
from layerwise.recorder._row import Numbers

Pending = TypeVar("Pending")


class BatchRow(TypedDict, total=False):
    """One batch, as ``Recorder.log`` takes it and ``Recorder.log_many`` takes many.

    Attributes:
        step: Optimizer updates applied before this batch; the one entry that must be there.
        epoch: The epoch, from 0.
        loss: The batch's loss.
        metrics: The batch's metrics by name.
        rate: The base learning rate.
        rates: The learning rate of each group, by the group's name.
        ratios: The update-to-weight ratio of each layer, by the layer's name.
        time: When, in Unix seconds.

    Examples:
        >>> from layerwise.recorder import BatchRow
        >>> BatchRow(step=0, loss=2.5)
        {'step': 0, 'loss': 2.5}
    """

    step: int
    epoch: int | None
    loss: SupportsFloat | None
    metrics: Numbers | None
    rate: SupportsFloat | None
    rates: Numbers | None
    ratios: Numbers | None
    time: float | None


class PendingRows(Generic[Pending]):
    """Collects rows whose numbers are still on a device, and fetches many at a time.

    Fetching a number makes the host wait until the device has computed it. Doing that for each
    batch would slow the training down; doing it once for many batches costs nearly nothing.

    Args:
        fetch: Turns rows as they wait, in whatever form, into plain numbers.
        deliver: Takes the fetched rows, such as ``Recorder.log_many``.
        most: How many rows may wait, at least 1.

    Examples:
        >>> from layerwise.recorder import PendingRows
        >>> losses = lambda waiting: [{"step": i, "loss": float(x)} for i, x in waiting]
        >>> rows = PendingRows(losses, print, most=2)
        >>> for step, loss in enumerate(["0.5", "0.25", "0.125"]):
        ...     rows.add((step, loss))
        ...     rows.flush(wait=60.0)
        [{'step': 0, 'loss': 0.5}, {'step': 1, 'loss': 0.25}]
        >>> len(rows)
        1
        >>> rows.flush()
        [{'step': 2, 'loss': 0.125}]
    """

    def __init__(
        self,
        fetch: Callable[[list[Pending]], Iterable[BatchRow]],
        deliver: Callable[[list[BatchRow]], object],
        *,
        most: int = 64,
    ) -> None:
        self._fetch, self._deliver, self._most = fetch, deliver, most
        self._rows: list[Pending] = []
        self._since = 0.0

    def __len__(self) -> int:
        """How many rows wait."""
        return len(self._rows)

    def add(self, row: Pending) -> None:
        """Let one more row wait."""
        if not self._rows:
            self._since = time.monotonic()
        self._rows.append(row)

    def flush(self, wait: float = 0.0) -> None:
        """Fetch and deliver all rows, if ``most`` of them wait or the first has waited long enough.

        Args:
            wait: How long the first row may wait, in seconds; 0 delivers all rows now.
        """
        if self._rows and (len(self._rows) >= self._most or time.monotonic() - self._since >= wait):
            rows, self._rows = self._rows, []
            try:
                self._deliver(list(self._fetch(rows)))
            except Exception:
                raise  # a row that is refused would be refused again
            except BaseException:
                # Interrupted: they wait for the next flush. A row that was written all the same
                # is then trained again, to the record, and takes its own place.
                self._rows = rows + self._rows
                raise

    def clear(self) -> None:
        """Drop the rows that wait."""
        self._rows = []


def check_ratios(ratios: object) -> int | None:
    """Check the argument ``ratios=`` of a recorder.

    Args:
        ratios: Every how many steps update-to-weight ratios are recorded, or None for never.

    Returns:
        The number of steps as an int, or None.

    Raises:
        RecorderError: It is neither None nor a whole number of at least 1.

    Examples:
        >>> from layerwise.recorder import check_ratios
        >>> check_ratios(50)
        50
    """
    return None if ratios is None else whole(ratios, "ratios", RecorderError, at_least=1)


def check_wait(wait: object) -> float:
    """Check the argument ``wait=`` of a recorder.

    Args:
        wait: How many seconds a row may wait on a device; infinity is allowed.

    Returns:
        The seconds as a float.

    Raises:
        RecorderError: It is not a number of at least 0.

    Examples:
        >>> from layerwise.recorder import check_wait
        >>> check_wait(0.5)
        0.5
    """
    if not isinstance(wait, SupportsFloat) or not float(wait) >= 0:
        raise RecorderError(f"wait must be a number of seconds of at least 0, got {wait!r}.")
    return float(wait)
