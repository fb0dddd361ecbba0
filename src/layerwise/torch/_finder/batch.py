"""What a loader yields: to the model's device, and through the model into its loss."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from layerwise.errors import FinderError

Loss = Callable[[Any, Any], Any]
"""A loss function: of a model's outputs and the targets."""


def loss_of(model: Any, loss: Loss | None, batch: Any) -> Any:
    """The loss of a batch.

    A tuple or list is the model's inputs and, last, the targets; a mapping is the model's keyword
    arguments, and the targets are the whole of it; anything else is inputs and targets in one.
    Without a loss function the model's outputs have it as ``loss``, as those of Transformers do.

    Raises:
        FinderError: There is no loss in the outputs.
    """
    if isinstance(batch, Mapping):
        outputs, targets = model(**batch), batch
    elif isinstance(batch, tuple | list) and len(batch) > 1:
        *inputs, targets = batch
        outputs = model(*inputs)
    else:
        targets = batch[0] if isinstance(batch, tuple | list) and batch else batch
        outputs = model(targets)
    if loss is not None:
        return loss(outputs, targets)
    found = outputs.get("loss") if isinstance(outputs, Mapping) else getattr(outputs, "loss", None)
    if found is None:
        raise FinderError(
            f"The model's outputs ({type(outputs).__name__}) have no loss: give find_lr a loss "
            "function of (outputs, targets), or the whole training step as step=."
        )
    return found


def moved(batch: Any, device: torch.device) -> Any:
    """A batch with all its tensors on a device."""
    if isinstance(batch, Tensor):
        return batch.to(device, non_blocking=True)
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*(moved(item, device) for item in batch))
    if isinstance(batch, tuple | list):
        return type(batch)(moved(item, device) for item in batch)
    if isinstance(batch, Mapping):
        return {key: moved(value, device) for key, value in batch.items()}
    return batch.to(device) if hasattr(batch, "to") else batch
