"""What a recorder passes its rows on to, and what happens when that fails."""

from collections.abc import Iterable, Sequence
from typing import Protocol, runtime_checkable

from layerwise.errors import RecorderError
from layerwise.recorder._file import warn
from layerwise.recorder._format import EPOCH, STEP, TIME


@runtime_checkable
class Sink(Protocol):
    """Takes the rows of a recorder, beside its file; any object with these two methods does.

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
    """Several sinks. One that raises is dropped with a warning, and training goes on."""

    def __init__(self, sinks: Iterable[Sink]) -> None:
        self._sinks = list(sinks)
        for sink in self._sinks:
            if isinstance(sink, type) or not isinstance(sink, Sink):
                raise RecorderError(
                    f"A sink must have the methods write(step, values) and close(), got {sink!r}. "
                    "See TensorBoard, WeightsAndBiases and MLflow in layerwise.recorder."
                )

    def __len__(self) -> int:
        return len(self._sinks)

    def take(self, kind: str, columns: Sequence[str], values: Sequence[float]) -> None:
        """Pass one row on, as sinks see it."""
        prefix = "epoch/" if kind == "epoch" else ""
        row = dict(zip(columns, values, strict=True))
        epoch = row.pop(EPOCH, 0)
        # The row of an epoch without a step is shown at the epoch's number.
        step = int(row.pop(STEP, epoch))
        del row[TIME]
        named = {prefix + name: value for name, value in row.items()}
        for sink in tuple(self._sinks):
            try:
                sink.write(step, named)
            except Exception as error:
                self._drop(sink, f"write step {step}", error)

    def close(self) -> None:
        """Close all sinks."""
        for sink in tuple(self._sinks):
            try:
                sink.close()
            except Exception as error:
                self._drop(sink, "finish", error)
        self._sinks.clear()

    def _drop(self, sink: Sink, what: str, error: Exception) -> None:
        self._sinks.remove(sink)
        warn(
            f"{type(sink).__name__} could not {what} and gets nothing more: "
            f"{type(error).__name__}: {error}. Training and the other records go on."
        )
