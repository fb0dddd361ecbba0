"""find_rates: a rate for every layer of a compiled model, which it leaves as it was."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Unpack

import keras

from layerwise.errors import FinderError
from layerwise.finder import RatesFinding, RatesKeywords, RatesOptions, options_from, search_rates
from layerwise.keras._finder._bands.rates import check_one_base_rate, rates_by_band
from layerwise.keras._finder._bands.trainer import BandsTrainer
from layerwise.keras._finder.backend_trainers import trainer_for
from layerwise.keras._finder.base_rate import searchable_rate
from layerwise.keras._finder.batches import FinderBatches, generators_of
from layerwise.keras._finder.checks import accumulated_batches, check_model, opened
from layerwise.keras._finder.course import course_of
from layerwise.keras._finder.restore import restored_after
from layerwise.keras._internals.data import can_be_joined, indexable, joined
from layerwise.keras._internals.train_function import ready_to_train, untraced_test_function
from layerwise.keras._internals.trainer import tells_its_loss
from layerwise.multipliers import Layers


def find_rates(
    model: keras.Model,
    x: object = None,
    y: object = None,
    *,
    rules: Mapping[str, float] | None = None,
    layers: Layers | None = None,
    batch_size: int | None = None,
    sample_weight: object = None,
    class_weight: Mapping[int, float] | None = None,
    shuffle: bool = True,
    held_out: object = None,
    **options: Unpack[RatesKeywords],
) -> RatesFinding:
    r"""Search for a rate for every layer of a compiled model, and leave it as it was.

    The levels of the model are pooled to a few bands. Short trainings, compared on data that was
    held out, give the base rate and the multiplier $m_b$ of each band $b$, whose rate is

    $$\eta_b = m_b \cdot \text{base rate}$$

    Probes train by the model's train step, and its test step gives the loss of what was held out.
    What is restored is what ``find_lr`` restores. A schedule of the optimizer does not act during
    the search, but probes follow its shape, as in ``find_lr``. Hyperparameters that move and rules
    for weight decay are kept.

    Args:
        model: A compiled Keras model with one rate for all layers; it is built if it is not.
            Multipliers that layers carry (``lr_multiplier=``, ``annotate``) are kept.
        x: What to train on, as for ``model.fit``: arrays, a ``tf.data.Dataset``, a
            ``PyDataset``, a PyTorch ``DataLoader`` or a generator. Single examples are held out,
            and the others drawn in new batches, where the arrays allow it; else whole batches are
            held out. If the examples of a batch belong together (pairs, triplets), give
            ``divide="batches"``.
        y: Targets, as for ``model.fit``.
        rules: Multipliers by name that the search keeps; they must be numbers, and 0 freezes. It
            finds all others.
        layers: Levels from input to head, each a name, a beginning of names, or several; by
            default ``layers_of(model)``.
        batch_size: Samples in a batch of arrays, at least 1; 32 by default.
        sample_weight: Weights of the samples, as for ``model.fit``.
        class_weight: Weights of the classes, as for ``model.fit``.
        shuffle: Whether to shuffle arrays, by Keras' random numbers as ``fit`` does. Without, or
            after ``keras.utils.set_random_seed()``, a search can be repeated in another process.
        held_out: Data to compare rates on, as ``validation_data`` for ``model.fit``; worth giving
            where there is much data. By default a part of ``x`` is held out, in several divisions.
            Of many batches, the first few are used.
        **options: How to search, such as ``budget=3000`` or ``horizon=250``: see
            ``layerwise.finder.RatesOptions``. ``accumulate`` is the
            ``gradient_accumulation_steps`` of the optimizer, and no other number.

    Returns:
        The base rate, rules for ``LRMultiplier``, and why. Ctrl-C ends the search early; then
        they rest on the probes that are done.

    Raises:
        KeyboardInterrupt: Ctrl-C before the first probe is done.
        FinderError: The model can't train, or not on such batches; an argument can't be used;
            nothing can be held out; the optimizer has rules; or the budget is too small for one
            probe. Nothing has changed.
        MultiplierError: The rules or levels can't be used.

    Examples:
        >>> import keras, numpy
        >>> from layerwise.keras import LRMultiplier, find_rates
        >>> random = numpy.random.default_rng(0)
        >>> x = random.normal(size=(256, 8)).astype("float32")
        >>> model = keras.Sequential(
        ...     [keras.Input((8,)), keras.layers.Dense(4), keras.layers.Dense(1)]
        ... )
        >>> model.compile("adam", loss="mse")
        >>> found = find_rates(model, x, x.sum(axis=1), budget=400, progress=False)
        >>> found.updates <= 400
        True
        >>> optimizer = keras.optimizers.Adam(found.learning_rate)
        >>> model.compile(LRMultiplier(optimizer, found.rules), loss="mse")

    Source: which layers to tune depends on the shift between tasks (Lee et al., "Surgical
    Fine-Tuning", 2023); the search is that of ``layerwise.finder.search_rates``.
    """
    wanted = options_from(RatesOptions, options, "find_rates")
    check_model(model, "find_rates")
    check_one_base_rate(model.optimizer)
    wanted = replace(wanted, accumulate=accumulated_batches(model, wanted.accumulate))
    if not tells_its_loss(model):
        raise FinderError(
            f"The model {model.name!r} overrides train_step() and is compiled without a loss, so "
            "the loss of held-out data is not known. Override test_step() as well, and return "
            "{'loss': ...} from it."
        )
    generators = generators_of(x, held_out)
    course = course_of(model, wanted.horizon) if wanted.asks_optimizer else None
    with restored_after(model, generators) as before:
        given = FinderBatches(
            *(model, 1, x, y),
            sample_weight=sample_weight,
            batch_size=batch_size,
            class_weight=class_weight,
            shuffle=shuffle,
            held_out=held_out,
        )
        with (
            opened(model, given, before) as (batches, first),
            rates_by_band(model, rules, layers, wanted.most_bands) as searched,
            searchable_rate(model),
            ready_to_train(model, separate=True),
        ):
            factors = searched.factors.variable
            joins = wanted.divide == "examples"
            trainer = trainer_for(model, wanted.memory == "host", generators, factors)
            return search_rates(
                BandsTrainer(trainer, searched, untraced_test_function(model)),
                _Single(batches),
                searched.bands,
                wanted,
                course=course,
                held_out=None if batches.held_out is None else _Single(batches.held_out),
                join=joined if joins and can_be_joined(model, first) else None,
                targets_at=1,
            )


@dataclass(frozen=True)
class _Single:
    """Batches one by one instead of in tuples, with arrays that can be indexed."""

    batches: FinderBatches

    def __iter__(self) -> Iterator[object]:
        return (indexable(batch) for (batch,) in self.batches)
