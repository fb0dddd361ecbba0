"""What find_lr and find_rates ask of a model."""

import keras

from layerwise.errors import FinderError, LayerwiseError
from layerwise.keras._finder.batches import unfit_batch
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


def built_on(model: keras.Model, batch: object) -> tuple[int, ...] | None:
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
