"""The finder's protocol for bands on Keras: a rate for each band, and the loss held out."""

from collections.abc import Sequence

import keras
import numpy as np
import numpy.typing as npt
from keras import ops

from layerwise.errors import LayerwiseError
from layerwise.finder import relative
from layerwise.keras._finder._bands.rates import SearchedBands
from layerwise.keras._finder.batches import unfit_batch
from layerwise.keras._finder.restore import host_value
from layerwise.keras._finder.trainer import KerasTrainer, Snapshot
from layerwise.keras._internals.data import for_training, on_one_replica
from layerwise.keras._internals.train_function import TrainFunction
from layerwise.keras._internals.trainer import has_own_train_step
from layerwise.keras._internals.values import Tensor


class BandsTrainer:
    """Trains at a rate for each band; see ``layerwise.finder.RatesTrainer``.

    Args:
        trainer: What trains, and puts everything back.
        searched: The bands, and where their rates are.
        test: The test function of the model.
    """

    def __init__(self, trainer: KerasTrainer, searched: SearchedBands, test: TrainFunction) -> None:
        self._trainer, self._searched, self._test = trainer, searched, test
        self._start: dict[int, npt.NDArray[np.generic]] = {}
        self._scored = False  # once it has been, the model takes such batches

    def snapshot(self) -> Snapshot:
        """See ``layerwise.finder.RatesTrainer``."""
        trained = self._trainer.model.trainable_variables
        self._start = {id(v): host_value(v) for v in trained if id(v) in self._searched.band_of}
        return self._trainer.snapshot()

    def restore(self, state: Snapshot) -> None:
        """See ``layerwise.finder.RatesTrainer``."""
        self._trainer.restore(state)

    def train(self, batch: Sequence[object], rates: Sequence[float]) -> float:
        """See ``layerwise.finder.RatesTrainer``."""
        base, factors = relative(rates)
        self._searched.factors.on_host[:] = factors
        return self._trainer.train(list(map(for_training, batch)), base, factors)

    def score(
        self, batches: Sequence[Sequence[object]], stretch: Sequence[float] | None = None
    ) -> float:
        """See ``layerwise.finder.RatesTrainer``."""

        def moved(variable: keras.Variable, now: Tensor) -> Tensor:
            band = self._searched.band_of.get(id(variable))
            if stretch is None or band is None or stretch[band] == 1:
                return now
            start = ops.convert_to_tensor(self._start[id(variable)], variable.dtype)
            further: Tensor = start + stretch[band] * (now - start)
            return further

        given = [for_training(one) for batch in batches for one in batch]
        try:
            found = self._trainer.score(self._test, given, None if stretch is None else moved)
        except LayerwiseError:
            raise
        except Exception as error:
            model, batch = self._trainer.model, on_one_replica(given[0])
            own = type(model).test_step is not keras.Model.test_step
            if self._scored or own or has_own_train_step(model):
                raise
            raise unfit_batch(model, batch, error, "be tested on a held-out batch") from error
        self._scored = True
        return found
