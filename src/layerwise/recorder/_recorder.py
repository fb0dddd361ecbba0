"""The recorder: a row for each batch and each epoch, written as training goes."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Self, SupportsFloat, SupportsIndex

from layerwise._checks import whole
from layerwise.errors import RecorderError
from layerwise.finder import LRFinding
from layerwise.multipliers import Plan
from layerwise.recorder._file import RecordFile
from layerwise.recorder._format import STEP
from layerwise.recorder._lines import Lines
from layerwise.recorder._row import Given, Numbers, Row, make_row, row_from_mapping
from layerwise.recorder._saved import FINDING, PLAN, SCHEDULE, plan_data, schedule_data, write_data
from layerwise.recorder._sinks.sink import Sink, Sinks
from layerwise.schedules import Schedule


class Recorder:
    """Writes what happens in a training run to ``<run>/record.jsonl``, as it happens.

    Each row goes to the operating system at once, so a process that is killed loses at most the
    row it was writing. A run that exists already is continued: see ``resume``. When the disk is
    full or the folder is removed, there is one ``RecorderWarning``, and training goes on. Memory
    does not grow with the run. ``History.load`` reads the record back.

    Use one recorder for a run; with several processes, in the first one only.

    Args:
        run: The run's folder; it is made if it does not exist. Its last part is the run's name.
        every: Keep the batches whose step is a multiple of this, at least 1. All epochs are kept.
        sinks: Where else the rows go, such as ``TensorBoard``; see ``Sink``.

    Raises:
        RecorderError: The folder can't be written to, it has something else than a record that
            this Layerwise reads, or an argument is not usable.

    Examples:
        >>> import tempfile
        >>> from layerwise.recorder import History, Recorder
        >>> run = tempfile.mkdtemp()
        >>> with Recorder(run) as recorder:
        ...     for step, loss in enumerate([2.0, 1.5, 1.25]):
        ...         recorder.log(step=step, loss=loss, rates={"body": 1e-4, "head": 1e-3})
        ...     recorder.log_epoch(0, loss=1.25, metrics={"accuracy": 0.5})
        >>> history = History.load(run)
        >>> history.batch["loss"].tolist(), history.epoch["accuracy"].tolist()
        ([2.0, 1.5, 1.25], [0.5])
    """

    def __init__(
        self, run: str | Path, *, every: SupportsIndex = 1, sinks: Iterable[Sink] = ()
    ) -> None:
        self.every = whole(every, "every", RecorderError, at_least=1)
        self.run = Path(run)
        self._sinks = Sinks(sinks)
        self._file = RecordFile(self.run)
        self._lines = Lines(self._file.reopened)
        self._closed = False

    def wants(self, step: int) -> bool:
        """Say whether the batch at this step is kept; ask before you fetch its values."""
        return step % self.every == 0

    def log(
        self,
        *,
        step: SupportsIndex,
        epoch: SupportsIndex | None = None,
        loss: SupportsFloat | None = None,
        metrics: Numbers | None = None,
        rate: SupportsFloat | None = None,
        rates: Numbers | None = None,
        ratios: Numbers | None = None,
        time: float | None = None,
    ) -> None:
        """Record one batch.

        Values become Python floats here, which waits for what a device is still computing. To
        wait less often, collect rows and pass them to ``log_many``.

        Args:
            step: Optimizer updates applied before this batch, 0 for the first. With gradient
                accumulation or a skipped update, several batches have one step.
            epoch: The epoch, from 0.
            loss: The loss of this batch alone, not a mean over the epoch so far.
            metrics: The metrics of this batch alone, by name.
            rate: The base learning rate.
            rates: The learning rate that this update uses in each group, by the group's name.
            ratios: The size of the update over the size of the weights, by the layer's name.
            time: When, in Unix seconds; by default now.

        Raises:
            RecorderError: A value is not usable, or the recorder is closed. Nothing is written.
        """
        given = Given(step, epoch, loss, metrics, rate, rates, ratios, time)
        self._put([make_row("batch", self._file.started, given)])

    def log_many(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Record several batches at once.

        All rows are checked before the first is written, and they are written in one go.

        Args:
            rows: A mapping of the arguments of ``log`` for each batch; see ``BatchRow``.

        Raises:
            RecorderError: As in ``log``; none of the rows is written.

        Examples:
            >>> import tempfile
            >>> from layerwise.recorder import History, Recorder
            >>> run = tempfile.mkdtemp()
            >>> with Recorder(run) as recorder:
            ...     recorder.log_many({"step": step, "loss": 1 / (1 + step)} for step in range(4))
            >>> History.load(run).batch["loss"].tolist()
            [1.0, 0.5, 0.3333333333333333, 0.25]
        """
        self._put([row_from_mapping(row, self._file.started) for row in rows])

    def log_epoch(
        self,
        epoch: SupportsIndex,
        *,
        step: SupportsIndex | None = None,
        loss: SupportsFloat | None = None,
        metrics: Numbers | None = None,
        rate: SupportsFloat | None = None,
        rates: Numbers | None = None,
        time: float | None = None,
    ) -> None:
        """Record the end of an epoch.

        Args:
            epoch: The epoch, from 0.
            step: Optimizer updates applied by now; by default one more than the last batch's step.
            loss: The epoch's loss.
            metrics: The epoch's metrics by name, those of the validation among them.
            rate: The base learning rate at the end.
            rates: The learning rate of each group at the end, by the group's name.
            time: When, in Unix seconds; by default now.

        Raises:
            RecorderError: A value is not usable, or the recorder is closed. Nothing is written.
        """
        if step is None and self._lines.step is not None:
            step = self._lines.step + 1
        given = Given(step, epoch, loss, metrics, rate, rates, time=time)
        self._put([make_row("epoch", self._file.started, given)])

    def resume(self, step: SupportsIndex) -> None:
        """Say that training goes on from this step, such as that of a loaded checkpoint.

        Rows of this step and later ones become void, since that training is done again:
        ``History`` does not show them, though the file keeps them. Without a call, the first row
        after a run is reopened does the same, and so does a batch with a lower step than the batch
        before it.

        Args:
            step: Optimizer updates applied so far, which is the step of the next row.

        Raises:
            RecorderError: The step is not usable, or the recorder is closed.

        Examples:
            >>> import tempfile
            >>> from layerwise.recorder import History, Recorder
            >>> run = tempfile.mkdtemp()
            >>> with Recorder(run) as recorder:  # killed after step 3, say
            ...     recorder.log_many({"step": step, "loss": 1.0} for step in range(4))
            >>> with Recorder(run) as recorder:  # goes on from a checkpoint of step 2
            ...     recorder.resume(2)
            ...     recorder.log(step=2, loss=0.5)
            >>> History.load(run).batch["loss"].tolist()
            [1.0, 1.0, 0.5]
        """
        number = whole(step, STEP, RecorderError)
        self._check_open()
        self._file.append(self._lines.resumed(number))

    def save_finding(self, finding: LRFinding) -> None:
        """Save what the finder found, as ``finder.json`` in the run's folder."""
        self._save(FINDING, finding.to_config())

    def save_plan(self, plan: Plan, steps: int | None = None) -> None:
        """Save a plan as ``plan.json`` in the run's folder: its table, and its rates over steps.

        Args:
            plan: The plan.
            steps: How many steps the training has; by default as many as the plan's schedules.

        Raises:
            RecorderError: ``steps`` is no whole number.
        """
        self._save(PLAN, plan_data(plan, steps))

    def save_schedule(self, schedule: Schedule, steps: int | None = None) -> None:
        """Save a schedule as ``schedule.json`` in the run's folder: its config, and its curve.

        Args:
            schedule: A schedule, or a callable of the step.
            steps: How many steps the training has; by default as many as the schedule.

        Raises:
            RecorderError: ``steps`` is no whole number.
        """
        self._save(SCHEDULE, schedule_data(schedule, steps))

    def close(self) -> None:
        """Close the file and the sinks; closing again does nothing."""
        if not self._closed:
            self._closed = True
            self._file.close()
            self._sinks.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        every = "" if self.every == 1 else f", every={self.every}"
        return f"Recorder({str(self.run)!r}{every})"

    def _put(self, rows: list[Row]) -> None:
        self._check_open()
        tables = [self._lines.table(row.shape) for row in rows]
        text = ""
        for row, table in zip(rows, tables, strict=True):
            text += self._lines.before(row)
            if row.shape.kind != "batch" or self.wants(int(row.values[0])):
                text += self._lines.of_row(row, table)
                if self._sinks:
                    self._sinks.take(row.shape.kind, table.columns, row.values)
        if text:
            self._file.append(text)

    def _check_open(self) -> None:
        if self._closed:
            raise RecorderError(
                f"This recorder is closed. Recorder({str(self.run)!r}) opens the run again and "
                "continues it."
            )

    def _save(self, name: str, data: Mapping[str, Any]) -> None:
        try:
            write_data(self.run / name, data)
        except OSError as error:
            self._file.warn(
                f"{self.run / name} could not be written: {error.strerror}. Training goes on."
            )
