"""The batches of a search: from all data that ``fit`` takes, one item for each applied update."""

from collections.abc import Iterator
from functools import partial
from itertools import chain, islice
from types import GeneratorType
from typing import Any

import keras
import numpy as np

from layerwise.errors import FinderError
from layerwise.keras._internals.dataset import remade_dataset
from layerwise.keras._internals.hooks import inner_optimizer
from layerwise.keras._internals.training import (
    data_adapter,
    feeds_several_replicas,
    map_arrays,
    on_devices,
    shared_out,
)


class FinderBatches:
    """Lists of as many batches as an update takes, in the form that the train function takes.

    What can be gone through again can be iterated again; a generator goes on from where it is.

    Args:
        model: A compiled model.
        x: As for ``fit``.
        y: As for ``fit``.
        sample_weight: As for ``fit``.
        batch_size: As for ``fit``.
        class_weight: As for ``fit``.
        shuffle: As for ``fit``.

    Raises:
        FinderError: Data that Keras does not take, or no batch at all.
    """

    def __init__(
        self,
        model: Any,
        x: Any,
        y: Any = None,
        *,
        sample_weight: Any = None,
        batch_size: int | None = None,
        class_weight: dict[int, float] | None = None,
        shuffle: bool = True,
    ) -> None:
        self._model = model
        self._per_update = inner_optimizer(model.optimizer).gradient_accumulation_steps or 1
        if x is None:
            raise FinderError("There is no data: pass x, as for model.fit().")
        if batch_size is not None and (not _is_whole(batch_size) or batch_size < 1):
            raise FinderError(f"batch_size={batch_size!r}: a whole number of at least 1, or None.")
        if _is_dataset(x):
            x = remade_dataset(x)
        self._make_adapter = partial(
            data_adapter,
            x,
            y=y,
            sample_weight=sample_weight,
            batch_size=batch_size,
            class_weight=class_weight,
            shuffle=shuffle and _can_be_shuffled(x),
        )
        try:
            self._adapter = self._make_adapter()
        except (ValueError, TypeError, KeyError) as error:
            raise FinderError(f"Keras can't train on this data: {error}") from error
        self._once = self._drawn() if isinstance(x, GeneratorType) else None

    def first(self) -> Any:
        """One batch, which is not missing from the iteration afterwards.

        Raises:
            FinderError: There is none.
        """
        empty = self._adapter.num_batches == 0
        for batch in () if empty else self._drawn() if self._once is None else self._once:
            if self._once is not None:
                self._once = chain([batch], self._once)
            else:
                self.close()
            return batch
        raise FinderError(
            "The data has no batch: pass arrays, a dataset or a loader that is not empty."
        )

    def __iter__(self) -> Iterator[list[Any]]:
        return self._groups() if self._once is None else _in_groups(self._once, self._per_update)

    def _groups(self) -> Iterator[list[Any]]:
        """The groups of one pass; of more if one does not even fill a group."""
        group: list[Any] = []
        yielded = False
        while not yielded:
            drawn = False
            for batch in self._drawn():
                drawn = True
                group.append(batch)
                if len(group) == self._per_update:
                    yield group
                    group, yielded = [], True
            if not drawn:
                return

    def _drawn(self) -> Iterator[Any]:
        """The batches of one pass, as the backend's train function takes them.

        Without ``on_epoch_begin`` and ``on_epoch_end``: a ``PyDataset`` may change there what it
        gives next.
        """
        if _workers(self._adapter) is not None:
            self.close()
            self._adapter = self._make_adapter()  # they go on where they were, and are stopped once
        adapter, backend = self._adapter, keras.backend.backend()
        if backend == "jax":
            return map(on_devices, adapter.get_jax_iterator())
        if backend == "torch":
            return iter(adapter.get_torch_dataloader())
        if feeds_several_replicas(self._model):
            return iter(shared_out(self._model, adapter.get_tf_dataset()))
        if hasattr(adapter, "_dataset"):
            return iter(adapter.get_tf_dataset())
        return (map_arrays(_as_tensor, batch) for batch in adapter.get_numpy_iterator())

    def close(self) -> None:
        """End the workers of a ``PyDataset``, if there are any."""
        workers = _workers(self._adapter)
        if workers is not None:
            workers.stop()


def _workers(adapter: Any) -> Any:
    return getattr(adapter, "enqueuer", None)


def held_out_batches(model: Any, data: Any, batch_size: int | None) -> FinderBatches | None:
    """The batches of ``fit``'s ``validation_data``, or None without any."""
    if data is None:
        return None
    x, y, weight = keras.utils.unpack_x_y_sample_weight(data)
    return FinderBatches(model, x, y, sample_weight=weight, batch_size=batch_size, shuffle=False)


def generators_of(x: Any) -> tuple[Any, ...]:
    """The random generators of a PyTorch ``DataLoader``, which going through it moves on."""
    sampler = getattr(x, "batch_sampler", None)
    owners = [x, sampler, getattr(sampler, "sampler", None), getattr(x, "sampler", None)]
    found = {id(g): g for o in owners if hasattr(g := getattr(o, "generator", None), "get_state")}
    return tuple(found.values())


def _in_groups(batches: Iterator[Any], size: int) -> Iterator[list[Any]]:
    """Full groups; what is left over at the end is left out."""
    while len(group := list(islice(batches, size))) == size:
        yield group


def _as_tensor(array: Any) -> Any:
    return keras.ops.convert_to_tensor(array) if isinstance(array, np.ndarray) else array


def _is_whole(value: object) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _is_dataset(x: Any) -> bool:
    return any(
        kind.__name__ == "DatasetV2" and kind.__module__.startswith("tensorflow.python.")
        for kind in type(x).__mro__
    )


def _can_be_shuffled(x: Any) -> bool:
    """Whether Keras shuffles such data; it warns of what it does not."""
    if isinstance(x, keras.utils.PyDataset):
        return x.num_batches is not None
    leaves = keras.tree.flatten(x)
    return not isinstance(x, GeneratorType) and all(hasattr(leaf, "shape") for leaf in leaves)
