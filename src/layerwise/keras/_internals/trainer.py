"""The private parts of Keras' training that Layerwise leans on. Tried on Keras 3.14 and 3.15."""

from typing import Any

import keras
from keras.src import backend

from layerwise.errors import RecorderError
from layerwise.keras._internals.data import map_arrays
from layerwise.keras._internals.optimizer import batch_count, rate_variable

TRACKER, METRICS = "_loss_tracker", "_compile_metrics"


def check_trainer(model: Any) -> None:
    """Raise unless a compiled model trains in the way that per-batch values are read from.

    Args:
        model: What a callback is given.

    Raises:
        RecorderError: The model is not compiled, or this version of Keras works otherwise.
    """
    if not getattr(model, "compiled", False):
        raise RecorderError(f"The model {model!r} is not compiled: call model.compile() first.")
    for name in (TRACKER, METRICS, "train_function", "make_train_function", "train_step"):
        if not hasattr(model, name):
            raise RecorderError(
                f"{type(model).__name__}.{name} is not there in Keras {keras.__version__}, and "
                "recording each batch needs it (tried: Keras 3.14 and 3.15). Install a tried "
                "version, or report this version to Layerwise."
            )


def in_training_state(optimizer: Any) -> dict[str, Any]:
    """Copies of rate and batch count within a step; on JAX they are outside, in its state."""
    if keras.backend.backend() == "jax":
        return {}
    rate = rate_variable(optimizer)
    now = {"batches": keras.ops.copy(batch_count(optimizer).value)}
    return now if rate is None else now | {"rate": keras.ops.copy(rate.value)}


def parts_built_by_fit(model: Any) -> list[Any]:
    """What ``fit`` builds when it first sees data, but for the weights."""
    optimizer = model.optimizer
    found = [optimizer, getattr(optimizer, "inner_optimizer", None)]
    found += [getattr(part, "_multiplied", None) for part in found]
    found += [model._compile_metrics, model._compile_loss]
    found += [getattr(part, "_tracker", None) for part in found]
    return [part for part in found if part is not None]


def loss_shape(model: Any, batch: Any) -> tuple[int, ...] | None:
    """The shape of a model's loss on a batch; None if the model doesn't tell without training."""

    def symbolic(array: Any) -> Any:
        return keras.KerasTensor(array.shape, keras.backend.standardize_dtype(array.dtype))

    x, y, weight = keras.utils.unpack_x_y_sample_weight(map_arrays(symbolic, batch))
    try:
        prediction = backend.compute_output_spec(model, x, training=False)
        loss = backend.compute_output_spec(
            model._compute_loss, x, y, prediction, sample_weight=weight, training=False
        )
        return tuple(loss.shape)
    except Exception:  # the model's own way to train may not need these
        return None
