"""find_lr: a search for the base rate of a compiled model, which it leaves as it was."""

from collections.abc import Mapping
from typing import Unpack

import keras

from layerwise.finder import LRFinding, SearchKeywords, SearchOptions, options_from, search
from layerwise.keras._finder.backend_trainers import trainer_for
from layerwise.keras._finder.base_rate import (
    counts_more_than_updates,
    group_factors,
    searchable_rate,
)
from layerwise.keras._finder.batches import FinderBatches, generators_of
from layerwise.keras._finder.checks import accumulated_batches, check_model, opened
from layerwise.keras._finder.course import course_of
from layerwise.keras._finder.restore import restored_after
from layerwise.keras._internals.train_function import ready_to_train


def find_lr(
    model: keras.Model,
    x: object = None,
    y: object = None,
    *,
    batch_size: int | None = None,
    sample_weight: object = None,
    class_weight: Mapping[int, float] | None = None,
    shuffle: bool = True,
    held_out: object = None,
    **options: Unpack[SearchKeywords],
) -> LRFinding:
    """Search for the base learning rate to train a compiled model with.

    The model trains by its train step for up to three times ``steps`` updates, or five times before
    a long training. Then everything is as it was: weights, other variables, optimizer, rates,
    metrics and random states, even after an exception or Ctrl-C. Training afterwards equals
    training without the search. Two things can't be restored: the batches drawn from a generator,
    and what a ``PyDataset`` or loader changes in itself when it is asked for a batch.

    Under an ``LRMultiplier`` every layer keeps its rate in proportion to the base. A schedule of
    the optimizer, or one that is its learning rate, does not act during the sweep, and the probes
    follow its shape: the answer is the rate that the schedule is a factor on, or the highest one of
    a schedule that is the learning rate. What schedules ``.by("tokens")`` count stands still during
    the search, and probes don't follow them.

    Args:
        model: A compiled Keras model; it is built if it is not.
        x: What to train on, as for ``model.fit``: arrays, a ``tf.data.Dataset``, a
            ``PyDataset``, a PyTorch ``DataLoader`` or a generator.
        y: Targets, as for ``model.fit``.
        batch_size: Samples in a batch of arrays, at least 1; 32 by default.
        sample_weight: Weights of the samples, as for ``model.fit``.
        class_weight: Weights of the classes, as for ``model.fit``.
        shuffle: Whether to shuffle arrays, by Keras' random numbers as ``fit`` does. Without, or
            after ``keras.utils.set_random_seed()``, a search can be repeated in another process.
        held_out: Data to score the probes on, as ``validation_data`` for ``model.fit``; worth
            giving where the data is so small that a probe goes through it more than once. Of many
            batches, the first few are used.
        **options: ``low``, ``high``, ``steps``, ``spacing``, ``method``, ``horizon``, ``schedule``,
            ``stop``, ``smoothing``, ``memory`` and ``progress`` as described in
            ``layerwise.finder.SearchOptions``. ``accumulate`` is the
            ``gradient_accumulation_steps`` of the optimizer, and no other number.

    Returns:
        The curve, the suggestion and the reason for it; with an ``LRMultiplier`` also the factor of
        each group.

    Raises:
        FinderError: The model can't train, or not on such batches; the data has no batch; the loss
            is not a single number; or an argument is out of its range. Nothing has changed.

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
    (2017); ``layerwise.finder.search`` says how the suggestion comes from it.
    """
    wanted = options_from(SearchOptions, options, "find_lr")
    check_model(model, "find_lr")
    per_update = accumulated_batches(model, wanted.accumulate)
    generators = generators_of(x, held_out)
    course = course_of(model, wanted.horizon) if wanted.asks_optimizer else None
    with restored_after(model, generators) as before, searchable_rate(model) as lifted:
        given = FinderBatches(
            *(model, per_update, x, y),
            sample_weight=sample_weight,
            batch_size=batch_size,
            class_weight=class_weight,
            shuffle=shuffle,
            held_out=held_out,
        )
        with opened(model, given, before) as (batches, _):
            separate = lifted or counts_more_than_updates(model)
            with ready_to_train(model, separate):
                return search(
                    trainer_for(model, wanted.memory == "host", generators),
                    batches,
                    wanted,
                    held_out=batches.held_out,
                    group_factors=group_factors(model),
                    course=course,
                )
