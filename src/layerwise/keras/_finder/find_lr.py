"""find_lr: a search for the base rate of a compiled model, which it leaves as it was."""

from typing import Any, Literal

import keras

from layerwise.errors import FinderError
from layerwise.finder import LRFinding, SearchOptions, StopRule, search
from layerwise.keras._finder.base_rate import (
    check_base_rate,
    give_variable,
    group_factors,
    without_schedule,
)
from layerwise.keras._finder.batches import FinderBatches, generators_of, held_out_batches
from layerwise.keras._finder.eager import EagerTrainer
from layerwise.keras._finder.functional import FunctionalTrainer
from layerwise.keras._finder.restore import restored_after
from layerwise.keras._finder.trainer import KerasTrainer, scalar_needed
from layerwise.keras._internals.train_function import ready_to_train
from layerwise.keras._internals.training import (
    feeds_several_replicas,
    loss_shape,
    where_fit_builds,
)


def find_lr(
    model: Any,
    x: Any = None,
    y: Any = None,
    *,
    batch_size: int | None = None,
    sample_weight: Any = None,
    class_weight: dict[int, float] | None = None,
    shuffle: bool = True,
    held_out: Any = None,
    low: float = 1e-7,
    high: float = 10.0,
    steps: int = 100,
    spacing: Literal["geometric", "linear"] = "geometric",
    method: Literal["probe", "sweep"] = "probe",
    horizon: int | None = None,
    stop: Literal["diverged", "doubled", "never"] | StopRule = "diverged",
    smoothing: float = 2.0,
    memory: Literal["device", "host"] = "device",
    progress: bool = True,
) -> LRFinding:
    """Search the base learning rate to train a compiled model with.

    The model trains by its own train step for up to three times ``steps`` updates, and then all is
    as it was: weights, other variables, optimizer, rates, metrics and random states, also after an
    exception or Ctrl-C. Training afterwards equals training without the search. Of the data, two
    things can't be put back: the batches that were drawn from a generator, and what a
    ``PyDataset`` or loader changes in itself when it is asked for a batch.

    Under an ``LRMultiplier`` every layer keeps its rate in proportion to the base. A schedule of
    the optimizer, also one that is its learning rate, does not act during the search: what is
    searched is the rate that it starts from.

    Args:
        model: A compiled Keras model; it is built if it is not.
        x: What to train on, as for ``model.fit``: arrays, a ``tf.data.Dataset``, a
            ``PyDataset``, a PyTorch ``DataLoader`` or a generator.
        y: Targets, as for ``model.fit``.
        batch_size: Samples in a batch of arrays; 32 by default.
        sample_weight: Weights of the samples, as for ``model.fit``.
        class_weight: Weights of the classes, as for ``model.fit``.
        shuffle: Whether to shuffle arrays.
        held_out: What to compare rates on, as for ``model.fit``: worth it where the data
            is so small that a probe goes through it several times. By default they are compared
            on the data itself.
        low: The sweep's first rate, above 0.
        high: Its last rate, above ``low``.
        steps: Its number of updates, at least 10. Probing takes at most twice as many.
        spacing: ``"geometric"`` or ``"linear"``.
        method: ``"probe"``, or ``"sweep"`` for a rule that needs the sweep alone.
        horizon: How many updates the training is going to have, if known.
        stop: When the sweep ends early: ``"diverged"``, ``"doubled"`` (over twice the first
            loss), ``"never"``, or a function of the smoothed losses so far.
        smoothing: The width of the smoothing in points, at least 0.
        memory: Where the copy of model and optimizer is kept: ``"device"`` or ``"host"``.
        progress: Whether to draw a progress bar on standard error.

    Returns:
        The curve, the suggestion and why; with an ``LRMultiplier`` also the multiplier of each
        group.

    Raises:
        FinderError: A model that can't train, data without a batch, a loss that is no single
            number, or an argument that can't be honoured. Nothing has changed.

    Examples:
        >>> import keras, numpy
        >>> from layerwise.keras import find_lr
        >>> random = numpy.random.default_rng(0)
        >>> x = random.normal(size=(256, 8)).astype("float32")
        >>> model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(1)])
        >>> model.compile("adam", loss="mse")
        >>> finding = find_lr(model, x, x.sum(axis=1, keepdims=True), progress=False)
        >>> 1e-3 < finding.suggestion < 1
        True
        >>> model.optimizer.learning_rate = finding.suggestion

    Source: the range test of L. N. Smith, *Cyclical Learning Rates for Training Neural Networks*
    (2017); what is made of it is ``layerwise.finder.search``'s.
    """
    _check_model(model)
    SearchOptions(low=low, high=high, steps=steps, spacing=spacing, memory=memory)
    generators = generators_of(x) + generators_of(held_out)
    with restored_after(model, generators) as random:
        batches = FinderBatches(
            model,
            x,
            y,
            sample_weight=sample_weight,
            batch_size=batch_size,
            class_weight=class_weight,
            shuffle=shuffle,
        )
        held_out = held_out_batches(model, held_out, batch_size)
        try:
            first = batches.first()
            random.put_back()
            with where_fit_builds(model):
                lifted = give_variable(model.optimizer)
                _build(model, first)
            random.renew()  # weights that were made stay, and so does what was drawn for them
            with (
                without_schedule(model.optimizer) as inside,
                ready_to_train(model, separate=lifted or inside),
            ):
                return search(
                    _trainer(model, memory == "host", generators),
                    batches,
                    held_out=held_out,
                    low=low,
                    high=high,
                    steps=steps,
                    spacing=spacing,
                    method=method,
                    horizon=horizon,
                    stop=stop,
                    smoothing=smoothing,
                    progress=progress,
                    group_factors=group_factors(model),
                )
        finally:
            batches.close()
            if held_out is not None:
                held_out.close()


def _check_model(model: Any) -> None:
    if not isinstance(model, keras.Model):
        raise FinderError(f"find_lr() takes a Keras model, not {model!r}.")
    if not model.compiled or model.optimizer is None:
        raise FinderError(
            f"The model {model.name!r} is not compiled with an optimizer: call "
            "model.compile(optimizer, loss) first."
        )
    check_base_rate(model.optimizer)


def _trainer(model: Any, on_host: bool, generators: tuple[Any, ...]) -> KerasTrainer:
    kind = FunctionalTrainer if keras.backend.backend() == "jax" else EagerTrainer
    return kind(model, on_host, generators)


def _build(model: Any, batch: Any) -> None:
    """Make what ``fit`` makes when it first sees data."""
    if feeds_several_replicas(model):
        batch = keras.tree.map_structure(lambda array: array.values[0], batch)
    model._symbolic_build(data_batch=batch)
    if not model.trainable_variables:
        raise FinderError(f"The model {model.name!r} has no weights that train.")
    shape = loss_shape(model, batch)
    if shape:
        raise FinderError(scalar_needed(model, shape))
