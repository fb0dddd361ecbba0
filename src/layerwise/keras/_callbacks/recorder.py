"""Recorder: a callback that writes down every batch and epoch of a training."""

import contextlib
import warnings
from collections.abc import Iterable, Mapping
from functools import partial
from math import lcm
from pathlib import Path
from typing import Self, SupportsIndex

import keras

from layerwise import recorder
from layerwise.finder import LRFinding, RatesFinding
from layerwise.keras._callbacks.batch_callback import BatchCallback
from layerwise.keras._internals.optimizer import batch_count, batches_per_update, inner_optimizer
from layerwise.keras._internals.values import number_in
from layerwise.keras._optimizer.lr_multiplier import LRMultiplier, plain_class
from layerwise.recorder import BatchRow, RecorderWarning, check_ratios, check_wait, metric_columns
from layerwise.schedules import plateau

_BEGINS_AGAIN = (
    "This training begins at epoch {epoch}, but its optimizer at step 0, as a new one does after "
    "compile(). Its rows replace all earlier rows in {run}. Give this training a Recorder with "
    "another folder to keep both."
)

_SETTINGS = (
    "momentum",
    "nesterov",
    "beta_1",
    "beta_2",
    "rho",
    "weight_decay",
    "clipnorm",
    "global_clipnorm",
    "clipvalue",
    "gradient_accumulation_steps",
)


class Recorder(BatchCallback):
    r"""Writes ``<run>/record.jsonl``: a row for each batch and epoch, as training goes.

    The row of a batch has the step (updates applied before it), epoch, time, the loss and metrics
    of this batch alone (Keras' logs hold means since the epoch began), the base learning rate and,
    with ``LRMultiplier``, the rate of each group of variables that share a multiplier: the rates
    that the update used, whoever set them. The row of an epoch has Keras' logs of the epoch.
    ``layerwise.recorder.History`` reads the rows. What ``ReportMetrics`` decides is in its
    ``events``.

    The recorder does not change the training: weights, epoch logs and progress bar are the same to
    the bit, and nothing stays behind in the model. It costs one more compilation, and then nearly
    nothing: values stay on the device for up to 64 batches or ``wait`` seconds and are fetched
    together. If the process is killed, the rows of that time are lost. An exception loses none if
    the recorder is used in a ``with`` block or in the next ``fit``.

    Another ``fit`` appends. The rows of steps that a resumed training does again
    (``BackupAndRestore``, ``initial_epoch``) replace those of the same steps before.

    - The loss is that of the whole model, with all outputs, sample weights and regularization. The
      losses of single outputs are in the rows of epochs only.
    - The value of a metric comes from its state after this one batch alone.
    - With ``steps_per_execution`` there is one row for each execution, that of its last batch.
    - A ``train_step()`` of your own that updates the metrics of ``Model.metrics`` by name is read
      like Keras'. Of any other, the values that it returns are recorded, with a warning.
    - Under gradient accumulation the batches of one update have the same step, and so have an
      update that loss scaling skips and the next one.
    - In a model with optimizers beside ``model.optimizer``, such as a GAN, the rates are those of
      each optimizer that trains, by the name of its attribute: ``rates/d_optimizer``. Step and
      base rate are those of the first that counts. On JAX, ``fit`` knows ``model.optimizer`` only.
    - ``train_on_batch`` calls no callbacks: there a ``layerwise.recorder.Recorder`` writes a row
      with ``log(step=..., loss=...)``.

    Args:
        run: The run's folder, made if need be. Its last part is the run's name.
        every: Keep the batches whose step is a multiple of this, at least 1; with
            ``steps_per_execution``, the executions that have such a step.
        ratios: Every so many steps, at least 1, if the batch is kept, record the size of the update
            over the size of the weights, $\lVert W_{t+1} - W_t \rVert / \lVert W_t \rVert$, each
            layer's. It is computed on the device; such a step holds a second copy of the weights.
            None: never.
        sinks: What else gets the rows, such as ``layerwise.recorder.TensorBoard(...)``.
        wait: Seconds that a row may wait on the device, at least 0. With 0 each row is written
            before the next batch begins, and every batch waits for the device.

    Raises:
        RecorderError: The folder can't be written to or holds another kind of record, or an
            argument is out of its range.

    Examples:
        >>> import keras, numpy, tempfile
        >>> from layerwise.keras import LRMultiplier, Recorder
        >>> from layerwise.recorder import History
        >>> model = keras.Sequential(
        ...     [
        ...         keras.Input((4,)),
        ...         keras.layers.Dense(8, name="backbone"),
        ...         keras.layers.Dense(1, name="head"),
        ...     ]
        ... )
        >>> model.compile(LRMultiplier(keras.optimizers.SGD(0.01), {"backbone": 0.5}), loss="mse")
        >>> run = tempfile.mkdtemp()
        >>> data = numpy.ones((32, 4)), numpy.ones((32, 1))
        >>> _ = model.fit(*data, batch_size=8, verbose=0, callbacks=[Recorder(run)])
        >>> history = History.load(run)
        >>> history.batch["step"].tolist(), history.batch["rates/backbone"].round(6).tolist()
        ([0, 1, 2, 3], [0.005, 0.005, 0.005, 0.005])

    Source: the run record of ``layerwise.recorder``; the ratio is that of Karpathy's lecture notes
    (cs231n, "Ratio of weights:updates"), where 1e-3 is a usual size.
    """

    def __init__(
        self,
        run: str | Path,
        *,
        every: SupportsIndex = 1,
        ratios: int | None = None,
        sinks: Iterable[recorder.Sink] = (),
        wait: float = 0.5,
    ) -> None:
        super().__init__()
        self.run = Path(run)
        self._ratios, self._wait = check_ratios(ratios), check_wait(wait)
        self._open = partial(recorder.Recorder, self.run, every=every, sinks=tuple(sinks))
        self._record: recorder.Recorder | None = self._open()
        if self._ratios is not None:
            self._ratios = lcm(self._ratios, self._record.every)
        self._last = BatchRow()
        self._span = 1
        self._begun = False
        self._fired: dict[plateau, int] = {}

    def on_train_begin(self, logs: Mapping[str, object] | None = None) -> None:
        super().on_train_begin(logs)
        if self._record is None:
            self._record = self._open()
        self._begun = False
        # How many steps an execution has. Inside a step on JAX, the model can't be asked.
        batches = self.model.steps_per_execution
        self._span = -(-batches // batches_per_update(self.model.optimizer))

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, object] | None = None) -> None:
        super().on_epoch_begin(epoch, logs)
        optimizer = inner_optimizer(self.model.optimizer)
        self._note_decisions()
        if self._begun or self._record is None:
            return
        self._begun = True
        anew = optimizer is not None and not number_in(batch_count(optimizer))
        if epoch and self._record.continues and anew:
            text = _BEGINS_AGAIN.format(epoch=epoch, run=self.run)
            warnings.warn(text, RecorderWarning, stacklevel=2)
        if optimizer is not None:
            settings = {name: getattr(optimizer, name, None) for name in _SETTINGS}
            self._record.save_setup(plain_class(type(optimizer)).__name__, settings)
        if not isinstance(optimizer, LRMultiplier):
            return
        variables = self.model.trainable_variables
        plan = optimizer.plan() if optimizer.built else optimizer.plan_for(variables)
        self._record.save_plan(plan, self._length(plan.step, epoch))

    def save_finding(self, finding: LRFinding | RatesFinding) -> None:
        """Save what ``find_lr`` or ``find_rates`` found in the run's folder, for its report.

        Args:
            finding: What was found; a run may have one of each.
        """
        if self._record is not None:
            self._record.save_finding(finding)
        else:
            with self._open() as record:
                record.save_finding(finding)

    def _note_decisions(self) -> None:
        """Record what metrics have decided since the last time."""
        optimizer = inner_optimizer(self.model.optimizer)
        if self._record is None or not isinstance(optimizer, LRMultiplier):
            return
        decisions = optimizer.decisions
        if self._begun:
            for text in decisions.fired_since(self._fired):
                # With gradient accumulation the updates are no variable, but computed.
                now = optimizer.iterations
                kept = isinstance(now, keras.Variable)
                step = int(number_in(now) if kept else keras.ops.convert_to_numpy(now))
                self._record.log_event(text, step=step)
        self._fired = decisions.counts()

    def _length(self, step: int, epoch: int) -> int | None:
        """The step at which this training ends, if that is known.

        Args:
            step: The updates applied before its first epoch.
            epoch: That epoch.
        """
        epochs, batches = self.params.get("epochs"), self.params.get("steps")
        if not epochs or not batches:
            return None
        updates: int = (epochs - epoch) * batches // batches_per_update(self.model.optimizer)
        return step + updates

    def wants_ratios(self, step: int) -> bool:
        """Whether to measure the update-to-weight ratios from this step on, if it is kept."""
        return self._has_ratios(step + self._span - 1)

    def _has_ratios(self, last: int) -> bool:
        """Whether a multiple of both ``every`` and ``ratios`` is in what ends with this step."""
        return self._ratios is not None and last % self._ratios < self._span

    def receive(self, rows: list[BatchRow]) -> None:
        """Write the rows."""
        assert self._record is not None
        self._last = rows[-1]
        # Another recorder of this training may have wanted ratios.
        made = [
            {
                **row,
                "metrics": metric_columns(row.get("metrics") or {}),
                "ratios": row.get("ratios") if self._has_ratios(row["step"]) else None,
            }
            for row in rows
        ]
        self._record.log_many(made, span=self._span)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, object] | None = None) -> None:
        super().on_epoch_end(epoch, logs)
        assert self._record is not None
        numbers: dict[str, float] = {}
        for name, value in (logs or {}).items():
            with contextlib.suppress(TypeError, ValueError):  # a train_step() may return anything
                numbers[name] = float(value)  # type: ignore[arg-type]
        self._record.log_epoch(
            epoch,
            loss=numbers.pop("loss", None),
            metrics=metric_columns(numbers),
            rate=self._last.get("rate"),
            rates=self._last.get("rates"),
        )

    def on_train_end(self, logs: Mapping[str, object] | None = None) -> None:
        super().on_train_end(logs)
        self._note_decisions()
        self.close()

    def close(self) -> None:
        """Write what is waiting, and close the record; the next ``fit`` opens it again."""
        if self._record is not None:
            self._fetch()
            if self._stream is not None:
                self._stream.leave()
            self._record.close()
            self._record = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
