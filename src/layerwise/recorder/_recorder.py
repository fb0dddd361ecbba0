"""The recorder: a row for each batch and each epoch, written as training goes."""

import os
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NoReturn, Self, SupportsFloat, SupportsIndex

from layerwise._checks import text as checked_text
from layerwise._checks import whole
from layerwise.errors import RecorderError
from layerwise.finder import LRFinding, RatesFinding
from layerwise.multipliers import Plan
from layerwise.recorder._file import RecordFile, warn
from layerwise.recorder._format import STEP, event_line
from layerwise.recorder._lines import Draft, Lines
from layerwise.recorder._row import Given, Numbers, Row, make_row, row_from_mapping
from layerwise.recorder._saved import (
    FINDING,
    FOUND_RATES,
    PLAN,
    SCHEDULE,
    SETUP,
    plan_data,
    schedule_data,
    setup_data,
    write_data,
)
from layerwise.recorder._sinks.sink import Sink, Sinks
from layerwise.schedules import Schedule


class Recorder:
    """Writes what happens in a training run to ``<run>/record.jsonl``, as it happens.

    Each row goes to the operating system at once, so a process that is killed loses at most the
    row it was writing. A run that exists already is continued: see ``resume``. When the disk is
    full or the folder is removed, there is one ``RecorderWarning``, and training goes on. Memory
    does not grow with the run. ``History.load`` reads the record back.

    A run has one recorder at a time; with several processes, in the first one only. While it is
    open, no other process can open the run. In the same process the recorder that begins to write
    last goes on, and the one before it stops with a warning.

    Args:
        run: The run's folder; it is made if it does not exist. Its last part is the run's name.
        every: Keep the batches whose step is a multiple of this, at least 1. All epochs are kept.
        sinks: Where else the rows go, such as ``TensorBoard``; see ``Sink``.

    Raises:
        RecorderError: The folder can't be written to, another process is recording in it, it has
            something other than a record that this Layerwise reads, or an argument is not usable.

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
        if not isinstance(run, str | Path):
            raise RecorderError(f"run must be a path, got {run!r}.")
        self.run = Path(run)
        self._sinks = Sinks(sinks)
        self._file = RecordFile(self.run)
        self._lines = Lines(self._file.reopened, self._file.fresh)
        self._step: int | None = None  # of the last batch, recorded or not
        self._asked = False  # a loop that asks first logs only some batches, and maybe later
        self._lock = threading.RLock()
        self._process = os.getpid()
        self._thread = threading.get_ident()
        self._crossings = 0
        self._closed = False
        try:
            self._warn_of_failures()
        except BaseException:
            self.close()
            raise

    @property
    def continues(self) -> bool:
        """Whether the run had a record before."""
        return self._file.reopened

    def wants(self, step: int) -> bool:
        """Say whether the batch at this step is kept; ask before you fetch its values."""
        self._step, self._asked = step, True
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

    def log_many(self, rows: Iterable[Mapping[str, Any]], *, span: int = 1) -> None:
        """Record several batches at once.

        All rows are checked before the first is written, and they are written in one go.

        Args:
            rows: A mapping of the arguments of ``log`` for each batch; see ``BatchRow``.
            span: How many steps a row stands for at most, its own the last of them; a row is kept
                if any of them is a multiple of ``every``.

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
        made = [row_from_mapping(row, self._file.started) for row in rows]
        self._put(made, whole(span, "span", RecorderError, at_least=1), late=True)

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
            step: Optimizer updates applied by now; by default one more than the step of the last
                batch that was recorded or asked for with ``wants``.
            loss: The epoch's loss.
            metrics: The epoch's metrics by name, those of the validation among them.
            rate: The base learning rate at the end.
            rates: The learning rate of each group at the end, by the group's name.
            time: When, in Unix seconds; by default now.

        Raises:
            RecorderError: A value is not usable, or the recorder is closed. Nothing is written.
        """
        if step is None and self._step is not None:
            step = self._step + 1
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
        with self._lock:
            self._file.notice_changes(self._lines.owns)
            draft = self._lines.resumed(number)
            self._write(draft)
            self._step = draft.place.step
        self._warn_of_failures()

    def log_event(self, text: str, *, step: SupportsIndex) -> None:
        """Record in words that something happened, such as that a level was unfrozen.

        Args:
            text: What happened.
            step: Optimizer updates applied by then.

        Raises:
            RecorderError: The step or text is not usable, or the recorder is closed.

        Examples:
            >>> import tempfile
            >>> from layerwise.recorder import History, Recorder
            >>> run = tempfile.mkdtemp()
            >>> with Recorder(run) as recorder:
            ...     recorder.log_event("the stem is unfrozen", step=40)
            >>> History.load(run).events
            ((40, 'the stem is unfrozen'),)
        """
        number = whole(step, STEP, RecorderError)
        line = event_line(number, checked_text(text, "text", RecorderError))
        self._check_open()
        with self._lock:
            self._file.notice_changes(self._lines.owns)
            self._file.append(line)
        self._warn_of_failures()

    def save_finding(self, finding: LRFinding | RatesFinding) -> None:
        """Save what the finder found, in the run's folder.

        What ``find_lr`` found becomes ``finder.json``, and what ``find_rates`` found becomes
        ``rates.json``; a run may have both.
        """
        name = FOUND_RATES if isinstance(finding, RatesFinding) else FINDING
        self._save(name, finding.to_config())

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

    def save_setup(self, optimizer: str, settings: Mapping[str, object] | None = None) -> None:
        """Save with what the run trains, as ``setup.json`` in its folder, for its report.

        The date, and the versions of Python, Layerwise and the frameworks that are loaded, are
        saved with it. The recorders for Keras and PyTorch call this.

        Args:
            optimizer: The optimizer's name.
            settings: Its settings; numbers are kept, and tuples of numbers, unless they are 0.

        Raises:
            RecorderError: The name is not text.

        Examples:
            >>> import tempfile
            >>> from layerwise.recorder import History, Recorder
            >>> run = tempfile.mkdtemp()
            >>> with Recorder(run) as recorder:
            ...     recorder.save_setup("SGD", {"momentum": 0.9, "nesterov": False})
            >>> History.load(run).setup["optimizer"]
            'SGD(momentum=0.9)'
        """
        checked_text(optimizer, "optimizer", RecorderError)
        self._save(SETUP, setup_data(optimizer, settings or {}))

    def close(self) -> None:
        """Close the file and the sinks; closing again does nothing."""
        self._closed = True
        try:
            self._file.close()
        finally:
            self._sinks.close()
        self._warn_of_failures()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce__(self) -> NoReturn:
        raise RecorderError(
            "A recorder can't be copied or pickled: a run has one writer. Make it in the process "
            "that trains."
        )

    def __repr__(self) -> str:
        every = "" if self.every == 1 else f", every={self.every}"
        return f"Recorder({str(self.run)!r}{every})"

    def _put(self, rows: list[Row], span: int = 1, late: bool = False) -> None:
        if self._closed:
            self._check_open()
        if os.getpid() != self._process:
            self._forked()
        sinks = self._sinks if self._sinks.feeds else None
        from_sink = sinks is not None and sinks.is_served_by_this_thread()
        with self._lock:
            if self._file.notice_changes(self._lines.owns):
                self._lines.join()
            draft = self._lines.draft(rows, self.every, span)
            if draft.back:
                self._check_thread(from_sink)
            self._thread = threading.get_ident()
            self._write(draft)
            batches = [int(row.values[0]) for row in rows if row.shape.kind == "batch"]
            if batches:
                asked = self._step if late and self._asked and self._step is not None else 0
                self._step = max(asked, batches[-1])
        # What a sink records is in the file alone; passed on, it would never end.
        if sinks is not None and not from_sink:
            for table, row in draft.kept:
                sinks.take(row.shape.kind, table.columns, row.values)
        if self._file.messages or self._sinks.messages:
            self._warn_of_failures()

    def _write(self, draft: Draft) -> None:
        """Write lines, and only then believe that they are there."""
        if not draft.text or self._file.append(draft.text):
            self._lines.commit(draft)

    def _check_thread(self, from_sink: bool) -> None:
        """Training goes back to a step: no sink can, nor two threads by turns."""
        if from_sink:
            raise RecorderError("A sink can't record a step that training has left behind.")
        if threading.get_ident() != self._thread:
            self._crossings += 1
            if self._crossings > 1:
                self._file.keep_message(
                    "threads",
                    f"Two threads record in {self.run}, and each goes back to its own steps, which "
                    "makes the rows of the other void. Give each thread a run of its own.",
                )

    def _forked(self) -> None:
        """This process is a copy of the one that made the recorder."""
        self._lock = threading.RLock()
        self._process = os.getpid()
        self._lines.renew()
        self._file.claim_again()

    def _check_open(self) -> None:
        if self._closed:
            raise RecorderError(
                f"This recorder is closed. Recorder({str(self.run)!r}) opens the run again and "
                "continues it."
            )

    def _warn_of_failures(self) -> None:
        """Warn of what went wrong, now that nothing can be spoiled by a warning that raises."""
        found = self._file.messages + self._sinks.messages
        self._file.messages, self._sinks.messages = [], []
        if found:
            warn(*found)

    def _save(self, name: str, data: Mapping[str, Any]) -> None:
        try:
            write_data(self.run / name, data)
        except OSError as error:
            self._file.keep_message(
                "failure",
                f"{self.run / name} could not be written: {error.strerror}. Training goes on.",
            )
            self._warn_of_failures()
