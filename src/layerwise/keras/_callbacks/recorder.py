"""Recorder: a callback that writes down every batch and epoch of a training."""

import contextlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self, SupportsIndex

from layerwise import recorder
from layerwise.errors import RecorderError
from layerwise.keras._callbacks.batch_callback import BatchCallback
from layerwise.keras._callbacks.batch_rows import Row
from layerwise.keras._internals.optimizer import inner_optimizer
from layerwise.keras._optimizer.lr_multiplier import LRMultiplier


class Recorder(BatchCallback):
    r"""Writes ``<run>/record.jsonl``: a row for each batch and epoch, as training goes.

    A batch's row has the step (updates applied before it), epoch, time, the batch's *own* loss
    and metrics (Keras' logs hold means since the epoch began), the base learning rate and, with
    ``LRMultiplier``, the rate of each group of variables that share a multiplier: the rates that
    the update used, whoever set them. An epoch's row has Keras' epoch logs. Rows are read back by
    ``layerwise.recorder.History``.

    Training is not changed by it: weights, epoch logs and progress bar are the same to the bit,
    and nothing stays behind in the model. It costs one more compilation, and then nearly nothing:
    values stay on the device for up to 64 batches or ``wait`` seconds and are fetched together.
    A process that is killed loses the rows of that time; an exception loses none, if the
    recorder is used in a ``with`` block or in the next ``fit``.

    Another ``fit`` appends. What a resumed training does again (``BackupAndRestore``,
    ``initial_epoch``) replaces what was recorded of the same steps.

    - The loss is that of the whole model: all outputs, sample weights and regularization in it.
      The losses of single outputs are in the epochs' rows only.
    - A metric's own value comes from its state after this one batch alone.
    - With ``steps_per_execution``, there is one row for each execution: its last batch's.
    - A ``train_step()`` of your own that updates the metrics of ``Model.metrics`` by name is read
      like Keras' own; of another one, what it returns is recorded, with a warning.
    - Under gradient accumulation, the batches of one update have the same step.

    Args:
        run: The run's folder, made if need be. Its last part is the run's name.
        every: Keep the batches whose step is a multiple of this.
        ratios: Every so many steps, record the size of the update over the size of the weights,
            $\lVert W_{t+1} - W_t \rVert / \lVert W_t \rVert$, for each layer, computed on
            the device; such a step holds a second copy of the weights. None: never.
        sinks: What else gets the rows, such as ``layerwise.recorder.TensorBoard(...)``.
        wait: Seconds that a row may wait on the device; with 0, each is written before the next
            batch begins, and the device waits for that.

    Raises:
        RecorderError: The folder can't be written to or has another kind of record in it, or an
            argument is not usable.

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
        if ratios is not None and (isinstance(ratios, bool) or not isinstance(ratios, int)):
            raise RecorderError(f"ratios is a number of steps or None, not {ratios!r}.")
        if ratios is not None and ratios < 1:
            raise RecorderError(f"ratios must be at least 1 step, got {ratios}; None for never.")
        if not wait >= 0:
            raise RecorderError(f"wait is a number of seconds, at least 0, not {wait!r}.")
        self.run = Path(run)
        self._every, self._ratios, self._wait = every, ratios, wait
        self._sinks = tuple(sinks)
        self._record: recorder.Recorder | None = self._opened()
        self._last: Row = {}

    def _opened(self) -> recorder.Recorder:
        return recorder.Recorder(self.run, every=self._every, sinks=self._sinks)

    def on_train_begin(self, logs: Any = None) -> None:
        super().on_train_begin(logs)
        if self._record is None:
            self._record = self._opened()
        optimizer = inner_optimizer(self.model.optimizer)
        if isinstance(optimizer, LRMultiplier):
            variables = self.model.trainable_variables
            plan = optimizer.plan() if optimizer.built else optimizer.plan_for(variables)
            self._record.save_plan(plan, self._length())

    def _length(self) -> int | None:
        """How many steps the training has, if that is known."""
        epochs, batches = self.params.get("epochs"), self.params.get("steps")
        return epochs * batches if epochs and batches else None

    def wants_ratios(self, step: int) -> bool:
        """Whether the update-to-weight ratios of this step are wanted."""
        return self._ratios is not None and step % self._ratios == 0

    def receive(self, rows: list[Row]) -> None:
        """Write the rows."""
        assert self._record is not None
        self._last = rows[-1]
        self._record.log_many(
            row if self.wants_ratios(row["step"]) else row | {"ratios": None} for row in rows
        )

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        super().on_epoch_end(epoch, logs)
        assert self._record is not None
        numbers: dict[str, float] = {}
        for name, value in (logs or {}).items():
            with contextlib.suppress(TypeError, ValueError):  # a train step may return anything
                numbers[name] = float(value)
        self._record.log_epoch(
            epoch,
            loss=numbers.pop("loss", None),
            metrics=numbers,
            rate=self._last.get("rate"),
            rates=self._last.get("rates"),
        )

    def on_train_end(self, logs: Any = None) -> None:
        super().on_train_end(logs)
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

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
