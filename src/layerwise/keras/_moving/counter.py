"""Counter: tells an optimizer what is in each batch of ``fit``, for schedules by tokens."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import TypeAlias

import keras

from layerwise._text import shown
from layerwise.errors import OptimizerError
from layerwise.keras._callbacks.batch_callback import BatchCallback
from layerwise.keras._internals.optimizer import inner_optimizer
from layerwise.keras._internals.trainer import Changes
from layerwise.keras._moving.counts import Counts, checked_amount, counted_after
from layerwise.keras._optimizer.lr_multiplier import LRMultiplier, counts_of
from layerwise.recorder import BatchRow

Amount: TypeAlias = int | Callable[[int], int]
"""How much is in each batch: a whole number, or a function of the batch's number in the epoch."""


class Counter(BatchCallback):
    """Counts what is in each batch of ``fit``, for schedules ``.by("tokens")``.

    The counts are variables of the ``LRMultiplier``: they are saved and loaded with it, and read
    inside the compiled step. Counting costs some microseconds a batch, and no batch waits; but on
    PyTorch, where no step is compiled, each update reads the counts from the device, once.

    Args:
        amounts: How much is in each batch, by the name that a schedule counts it by:
            ``Counter(samples=32)``. Where that changes, a function that is called after each batch,
            in the order of training, with the batch's number in its epoch:
            ``Counter(tokens=lambda batch: sizes[batch])``, or ``lambda batch: seen.popleft()``
            where the data itself puts the size of each batch into a ``deque``.

    Raises:
        ScheduleError: An amount is neither; when training begins, no schedule counts it; or during
            training, it is no whole number of at least 0.
        OptimizerError: When training begins: the optimizer is no ``LRMultiplier``, another
            ``Counter`` counts, or ``steps_per_execution`` is above 1.

    Examples:
        >>> import keras, numpy
        >>> from layerwise import linear
        >>> from layerwise.keras import LRMultiplier
        >>> from layerwise.keras.callbacks import Counter
        >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
        >>> optimizer = LRMultiplier("sgd", schedule=linear(64).by("samples"))
        >>> model.compile(optimizer, loss="mse")
        >>> data = numpy.ones((32, 4)), numpy.ones((32, 1))
        >>> _ = model.fit(*data, batch_size=8, verbose=0, callbacks=[Counter(samples=8)])
        >>> optimizer.counts
        {'samples': 32}
    """

    def __init__(self, **amounts: Amount) -> None:
        super().__init__()
        for name, amount in amounts.items():
            if not callable(amount) or isinstance(amount, type):
                checked_amount(amount, name)
        self._amounts: Mapping[str, Amount] = amounts
        self._batch = 0
        self._counted = counted_after
        self._counts: Counts | None = None

    def on_train_begin(self, logs: Mapping[str, object] | None = None) -> None:
        optimizer = inner_optimizer(self.model.optimizer)
        if not isinstance(optimizer, LRMultiplier):
            raise OptimizerError(
                f"Counter counts for the schedules of an LRMultiplier, and the optimizer is "
                f"{shown(optimizer)}. Make it LRMultiplier(optimizer, schedule=...)."
            )
        optimizer.build(self.model.trainable_variables)
        counts = counts_of(optimizer)
        counts.check(list(self._amounts))
        super().on_train_begin(logs)
        assert self._stream is not None
        if keras.backend.backend() == "jax":
            import jax

            self._counted = jax.jit(counted_after)
        self._counts = counts
        self._stream.change_after(self._amounts, self._changes, lambda: counts.fed(self._amounts))

    def on_train_batch_begin(self, batch: int, logs: Mapping[str, object] | None = None) -> None:
        self._batch = batch
        super().on_train_batch_begin(batch, logs)

    def receive(self, rows: list[BatchRow]) -> None:
        """See ``BatchCallback``; a counter needs no rows."""

    def _changes(self) -> Changes:
        assert self._counts is not None
        found: Changes = []
        for name, amount in self._amounts.items():
            given = amount(self._batch) if callable(amount) else amount
            known = checked_amount(given, name)
            found.append((self._counts.variables[name], partial(self._counted, amount=known)))
        return found
