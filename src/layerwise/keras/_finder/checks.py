"""What find_lr and find_rates ask of a model."""

from collections.abc import Iterator
from contextlib import closing, contextmanager

import keras

from layerwise.errors import FinderError, LayerwiseError
from layerwise.keras._finder.batches import FinderBatches, unfit_batch
from layerwise.keras._finder.restore import Before
from layerwise.keras._finder.trainer import check_scalar
from layerwise.keras._internals.optimizer import batches_per_update
from layerwise.keras._internals.trainer import build_as_fit_would


def check_model(model: object, name: str) -> None:
    """Raise unless it is a compiled model.

    Args:
        model: What was given.
        name: The function that it was given to.

    Raises:
        FinderError: It is not.
    """
    if not isinstance(model, keras.Model):
        raise FinderError(f"{name}() takes a Keras model, not {model!r}.")
    if not model.compiled or model.optimizer is None:
        raise FinderError(
            f"The model {model.name!r} is not compiled with an optimizer: call "
            "model.compile(optimizer, loss) first."
        )


@contextmanager
def opened(
    model: keras.Model, batches: FinderBatches, before: Before
) -> Iterator[tuple[FinderBatches, object]]:
    """While the block runs, the data is open, and the model is built for it.

    Args:
        model: The model.
        batches: Its batches, which are closed after the block.
        before: What was noted before the search.

    Yields:
        The batches, and the first of them.

    Raises:
        FinderError: The model can't train on them.
    """
    with closing(batches):
        yield batches, _built_on_first(model, batches, before)


def _built_on_first(model: keras.Model, batches: FinderBatches, before: Before) -> object:
    """Build everything as ``fit`` would on the first batch, and put back what that moved.

    Args:
        model: The model.
        batches: Where the batch comes from; the next iteration begins with it again.
        before: What was noted before the search.

    Returns:
        The batch.

    Raises:
        FinderError: The model can't train on such a batch, has nothing that trains, or its loss is
            not one number.
    """
    first = batches.first()
    before.random.put_back()
    shape = _built_on(model, first)
    before.layers.put_back()  # building calls the layers
    before.random.renew()  # weights made now stay, and so does what was drawn for them
    if not model.trainable_variables:
        raise FinderError(f"The model {model.name!r} has no weights that train.")
    check_scalar(model, shape or ())
    return first


def _built_on(model: keras.Model, batch: object) -> tuple[int, ...] | None:
    """The shape of the loss on a batch, for which everything is built as ``fit`` would.

    Raises:
        FinderError: The model can't train on such a batch.
    """
    try:
        return build_as_fit_would(model, batch)
    except LayerwiseError:
        raise
    except Exception as error:
        raise unfit_batch(model, batch, error) from error


def accumulated_batches(model: keras.Model, accumulate: int | None) -> int:
    """How many batches the optimizer puts into an update.

    Raises:
        FinderError: Another number was asked for.
    """
    per_update: int = batches_per_update(model.optimizer)
    if accumulate not in (None, per_update):
        steps = None if accumulate == 1 else accumulate
        raise FinderError(
            f"accumulate={accumulate} must be how many batches the optimizer of {model.name!r} "
            f"puts into an update, which is {per_update}. Leave accumulate out, or make the "
            f"optimizer with gradient_accumulation_steps={steps}."
        )
    return per_update
