"""The batches of a search: from all data that ``fit`` takes, one list for each applied update."""

import re
from collections.abc import Iterator, Mapping
from functools import partial
from itertools import chain, islice
from textwrap import shorten
from types import GeneratorType
from typing import Any

import keras

from layerwise._checks import whole
from layerwise.errors import FinderError
from layerwise.keras._internals.data import (
    adapter_for,
    batches_for_training,
    can_be_shuffled,
    map_leaves,
    on_one_replica,
    stop_workers,
)
from layerwise.keras._internals.random_states import TorchGenerator
from layerwise.keras._internals.tensorflow import is_dataset, remade_dataset

_LENGTH = 300  # of what is quoted of an error

_FORMS = (
    "A batch must be x, (x, y) or (x, y, sample_weight) for Keras; a dictionary alone is x. Let "
    "the data give such batches, for example by dataset.map(lambda batch: (batch['image'], "
    "batch['label'])). A model that overrides train_step(), compiled without loss and "
    "metrics, may take others as well, from a generator, a tf.data.Dataset or a DataLoader."
)


def unfit_batch(
    model: keras.Model, batch: object, error: Exception, does: str = "train on a batch"
) -> FinderError:
    """The error for a batch that a model can't take.

    Args:
        model: The model.
        batch: The batch.
        error: What Keras or the model raised.
        does: What it can't do.
    """
    form = map_leaves(_Array, batch)
    return FinderError(
        f"The model {model.name!r} can't {does} like {form}: {_as_sentence(error)} {_FORMS}"
    )


class _Array:
    """How an array is shown in an error: ``float32[8, 6]``."""

    def __init__(self, array: Any) -> None:
        dtype = getattr(array, "dtype", type(array).__name__)
        name = str(getattr(dtype, "name", dtype)).removeprefix("torch.")
        self._text = f"{name}{list(getattr(array, 'shape', ()))}"

    def __repr__(self) -> str:
        return self._text


def _as_sentence(error: Exception) -> str:
    """What went wrong as one sentence, without the arguments that Keras lists."""
    plain = re.sub(r"\x1b\[\d*m", "", str(error)).partition("\n\nArguments received")[0]
    return f"{shorten(plain, _LENGTH, placeholder=' ...').rstrip('.')}."


class FinderBatches:
    """Lists of as many batches as an update takes, in the form that the train function takes.

    Data that can be read again starts again with each iteration; a generator goes on where it is.

    Args:
        model: A compiled model.
        per_update: How many batches make one update.
        x: As for ``fit``.
        y: As for ``fit``.
        sample_weight: As for ``fit``.
        batch_size: As for ``fit``.
        class_weight: As for ``fit``.
        shuffle: As for ``fit``.
        held_out: Data to compare rates on, as ``validation_data`` for ``fit``.

    Attributes:
        held_out: The batches of that, if there is any.

    Raises:
        FinderError: Data that Keras does not take, or no batch at all.
    """

    def __init__(
        self,
        model: keras.Model,
        per_update: int,
        x: object,
        y: object = None,
        *,
        sample_weight: object = None,
        batch_size: int | None = None,
        class_weight: Mapping[int, float] | None = None,
        shuffle: bool = True,
        held_out: object = None,
    ) -> None:
        if x is None:
            raise FinderError("There is no data: pass x, as for model.fit().")
        if batch_size is not None:
            batch_size = whole(batch_size, "batch_size", FinderError, at_least=1)
        if is_dataset(x):
            x = remade_dataset(x)
        self._model, self._per_update = model, per_update
        self._make_adapter = partial(
            adapter_for,
            x,
            y=y,
            sample_weight=sample_weight,
            batch_size=batch_size,
            class_weight=class_weight,
            shuffle=shuffle and can_be_shuffled(x),
        )
        try:
            self._adapter = self._make_adapter()
        except (ValueError, TypeError, KeyError) as error:
            raise FinderError(
                f"Keras can't train on this data: {_as_sentence(error)} {_FORMS}"
            ) from error
        self.held_out: FinderBatches | None = None
        if held_out is not None:
            x_held, y_held, weight = keras.utils.unpack_x_y_sample_weight(held_out)
            self.held_out = FinderBatches(
                *(model, per_update, x_held, y_held),
                sample_weight=weight,
                batch_size=batch_size,
                shuffle=False,
            )
        self._once = self._one_pass() if isinstance(x, GeneratorType) else None

    def first(self) -> object:
        """The first batch, for one replica; the next iteration begins with it again.

        Raises:
            FinderError: There is none.
        """
        empty = self._adapter.num_batches == 0
        try:
            for batch in () if empty else self._one_pass() if self._once is None else self._once:
                if self._once is None:
                    stop_workers(self._adapter)
                else:
                    self._once = chain([batch], self._once)
                return on_one_replica(batch)
        except (ValueError, TypeError) as error:
            raise FinderError(f"The data gives no batch: {_as_sentence(error)} {_FORMS}") from error
        raise FinderError(
            "The data has no batch: pass arrays, a dataset or a loader that is not empty."
        )

    def __iter__(self) -> Iterator[list[object]]:
        return self._updates() if self._once is None else _in_lists(self._once, self._per_update)

    def close(self) -> None:
        """Stop the workers of ``PyDataset`` objects, if there are any."""
        stop_workers(self._adapter)
        if self.held_out is not None:
            self.held_out.close()

    def _updates(self) -> Iterator[list[object]]:
        """The lists of one pass; of several passes if one is not enough for a single update."""
        waiting: list[object] = []
        yielded = False
        while not yielded:
            drawn = False
            for batch in self._one_pass():
                drawn = True
                waiting.append(batch)
                if len(waiting) == self._per_update:
                    yield waiting
                    waiting, yielded = [], True
            if not drawn:
                return

    def _one_pass(self) -> Iterator[object]:
        """The batches of one pass.

        Without ``on_epoch_begin`` and ``on_epoch_end``, where a ``PyDataset`` may change what it
        gives next.
        """
        if stop_workers(self._adapter):
            self._adapter = self._make_adapter()  # workers would go on where they were
        return batches_for_training(self._adapter, self._model)


def generators_of(*data: object) -> tuple[TorchGenerator, ...]:
    """The random generators of PyTorch loaders, which reading them moves on."""
    owners: list[object] = []
    for x in data:
        sampler = getattr(x, "batch_sampler", None)
        owners += [x, sampler, getattr(sampler, "sampler", None), getattr(x, "sampler", None)]
    found = (getattr(owner, "generator", None) for owner in owners)
    return tuple({id(g): g for g in found if isinstance(g, TorchGenerator)}.values())


def _in_lists(batches: Iterator[object], size: int) -> Iterator[list[object]]:
    """Full lists; batches left over at the end are left out."""
    while len(group := list(islice(batches, size))) == size:
        yield group
