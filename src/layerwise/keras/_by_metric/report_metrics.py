"""ReportMetrics: a callback that reports each epoch's metrics to the rules that they decide."""

import warnings
from collections.abc import Mapping
from pathlib import Path

import keras
import numpy as np
import numpy.typing as npt

from layerwise._files import written_whole
from layerwise.errors import OptimizerError
from layerwise.keras._callbacks.batch_stream import stream_of
from layerwise.keras._internals.optimizer import inner_optimizer
from layerwise.keras._optimizer.lr_multiplier import LRMultiplier
from layerwise.schedules import PlateauEvent, plateau


class ReportMetrics(keras.callbacks.Callback):
    """Reports each epoch's metrics to the rules of an ``LRMultiplier`` that they decide.

    Those are ``gradual_unfreezing(when=plateau(...))`` and ``reduce_on_plateau(...)``, as rules or
    as the schedule. What is decided counts from the next epoch on. It is in variables of the
    optimizer: no step is compiled again, and a model that is saved goes on where it was.

    With ``restore_best`` the weights of the best epoch are kept in memory, and in ``backup``.
    Stand it before callbacks that save the model. A model that never gets the metric, since nothing
    validates, is an error.

    Args:
        backup: A file (``.npz``) for the best weights, so that a training that is resumed in
            another process has them. None: they are in memory alone.

    Attributes:
        events: What was decided, as text, by epoch.

    Raises:
        OptimizerError: When training begins: no rule of the optimizer is decided by a metric. When
            an epoch ends: the metric is not in its logs, or ``backup`` can't be written.

    Examples:
        >>> import keras, numpy
        >>> from layerwise import reduce_on_plateau
        >>> from layerwise.keras import LRMultiplier, ReportMetrics
        >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
        >>> falling = reduce_on_plateau("loss", factor=0.5, patience=1, min_delta=100.0)
        >>> model.compile(LRMultiplier(keras.optimizers.SGD(0.5), schedule=falling), loss="mse")
        >>> data = numpy.ones((8, 4)), numpy.ones((8, 1))
        >>> _ = model.fit(*data, epochs=3, verbose=0, callbacks=[ReportMetrics()])
        >>> list(model.optimizer.learning_rates().values())
        [0.125, 0.125]

    Source: ``ReduceLROnPlateau`` of Keras, for chosen layers.
    """

    def __init__(self, backup: str | Path | None = None) -> None:
        super().__init__()
        self.backup = None if backup is None else Path(backup)
        self.events: dict[int, list[str]] = {}
        self._best: dict[plateau, list[npt.NDArray[np.generic]]] = {}
        self._best_of: keras.Model | None = None
        self._reported = False

    def on_train_begin(self, logs: Mapping[str, object] | None = None) -> None:
        if self._best_of is not self.model:
            self._best, self._best_of = {}, self.model
        self._reported = False
        self.events = {}
        if not isinstance(self._optimizer(), LRMultiplier):
            raise OptimizerError(
                "ReportMetrics is for an LRMultiplier, whose rules or schedule a metric decides: "
                "LRMultiplier('adam', schedule=reduce_on_plateau('val_loss'))."
            )

    def on_epoch_end(self, epoch: int, logs: Mapping[str, object] | None = None) -> None:
        optimizer, logs = self._optimizer(), logs or {}
        watched = optimizer.decisions.metrics
        missing = [name for name in watched if name not in logs]
        validated = any(name.startswith("val_") for name in logs)
        late = [name for name in missing if name.startswith("val_") and not validated]
        if not watched or missing != late:
            self._refuse(missing, logs)
        if len(late) == len(watched):
            return  # validation_freq skips this epoch
        stream = stream_of(self.model.train_function)
        if stream is not None:
            stream.fetch()  # the batches so far had the rates of before
        self._reported = True
        events = optimizer.report(logs)
        for event in events:
            self._weights(event)
        self.events[epoch] = [str(event) for event in events if event.fired]

    def on_train_end(self, logs: Mapping[str, object] | None = None) -> None:
        if not self._reported:
            metrics = ", ".join(self._optimizer().decisions.metrics)
            warnings.warn(
                f"No epoch had {metrics}, which decides rates here. Give fit() validation_data.",
                stacklevel=2,
            )

    def _optimizer(self) -> keras.optimizers.Optimizer:
        return inner_optimizer(self.model.optimizer)

    def _refuse(self, missing: list[str], logs: Mapping[str, object]) -> None:
        if not missing:
            raise OptimizerError(
                "ReportMetrics has nothing to do: no rule of the optimizer is decided by a metric. "
                "Give it gradual_unfreezing(when=plateau('val_loss')) or "
                "reduce_on_plateau('val_loss')."
            )
        raise OptimizerError(
            f"The epoch has no {missing[0]!r}, which decides rates here. It has {', '.join(logs)}."
        )

    def _weights(self, event: PlateauEvent) -> None:
        """Keep the weights of a best epoch, and restore them when the plateau fires."""
        if not event.when.restore_best:
            return
        if event.is_best:
            self._best[event.when] = self.model.get_weights()
            if self.backup is not None:
                with written_whole(
                    self._file(event.when), "The best weights", OptimizerError
                ) as file:
                    np.savez(file, *map(_storable, self._best[event.when]))
        elif event.fired and event.after.best is not None:
            kept = self._best.get(event.when)
            if kept is None and self.backup is not None and self._file(event.when).exists():
                with np.load(self._file(event.when)) as arrays:
                    kept = [arrays[name] for name in arrays.files]
            if kept is None:
                warnings.warn(
                    f"{event.when!r} fired, and its best weights are not here: that epoch was in "
                    "another process. ReportMetrics(backup='best.npz') keeps them in a file.",
                    stacklevel=2,
                )
            else:
                self.model.set_weights(kept)

    def _file(self, when: plateau) -> Path:
        """The file of a plateau's best weights; each has its own."""
        assert self.backup is not None
        several = [each for each in self._optimizer().decisions.states if each.restore_best]
        place = several.index(when)
        suffix = f".{place}" if place else ""
        return self.backup.with_name(f"{self.backup.stem}{suffix}.npz")


def _storable(array: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    """The array in a type that NumPy's files can hold: ``bfloat16`` becomes float32."""
    return array.astype(np.float32) if array.dtype.kind == "V" else array
