"""One update on what a loader yields: forward, backward and the optimizer's step."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from layerwise.errors import FinderError
from layerwise.torch._finder.batch import Loss, loss_of, moved

Autocast: TypeAlias = torch.dtype | AbstractContextManager[Any] | None
"""A type to compute in, or a context manager that can be entered many times, or neither."""


class Update:
    """An update as a plain training loop makes it.

    Args:
        model: The model.
        optimizer: Its optimizer.
        loss: A loss function, or None where the model's outputs have it.
        device: Where batches go.
        autocast: In which type to compute.
        scaler: What scales the loss, or None.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        loss: Loss | None,
        *,
        device: torch.device,
        autocast: Autocast = None,
        scaler: Any = None,
    ) -> None:
        self.model, self.optimizer, self.loss = model, optimizer, loss
        self.device, self.scaler = device, scaler
        self._autocast = autocast
        self._parameters = parameters_of(model, optimizer)

    def __call__(self, micro_batches: Sequence[Any]) -> float:
        """Apply one update on the mean loss of a few batches.

        Returns:
            That loss, from before the update.

        Raises:
            FinderError: The loss is not a scalar that gradients can be taken of.
        """
        for tensor in self._parameters:
            tensor.grad = None
        number = len(micro_batches)
        losses = []
        for place, batch in enumerate(micro_batches, start=1):
            with self._quiet() if place < number else nullcontext():
                with self._casting():
                    loss = loss_of(self.model, self.loss, moved(batch, self.device))
                check_scalar(loss)
                if not getattr(loss, "requires_grad", False):
                    raise FinderError(
                        "The loss has no gradient: nothing that it was computed from is trained. "
                        "Look for a detach(), a no_grad() or frozen parameters."
                    )
                mean = loss if number == 1 else loss / number
                (mean if self.scaler is None else self.scaler.scale(mean)).backward()
            losses.append(loss)
        if self.scaler is None:
            self.optimizer.step()
        else:
            self.scaler.step(self.optimizer)
            self.scaler.update()
        return sum(map(scalar, losses)) / number

    def _casting(self) -> AbstractContextManager[Any]:
        if isinstance(self._autocast, torch.dtype):
            return torch.autocast(self.device.type, dtype=self._autocast)
        return nullcontext() if self._autocast is None else self._autocast

    def _quiet(self) -> AbstractContextManager[Any]:
        """Gradients of all but the last batch of an update stay on their rank."""
        no_sync = getattr(self.model, "no_sync", None)
        quiet: AbstractContextManager[Any] = nullcontext() if no_sync is None else no_sync()
        return quiet


def parameters_of(model: nn.Module, optimizer: Optimizer) -> list[Tensor]:
    """Every parameter of a model and an optimizer, once."""
    grouped = [tensor for group in optimizer.param_groups for tensor in group["params"]]
    return list({id(tensor): tensor for tensor in [*model.parameters(), *grouped]}.values())


def scalar(loss: Any) -> float:
    """A loss as a number.

    Raises:
        FinderError: It is not one number.
    """
    check_scalar(loss)
    return float(loss.detach()) if isinstance(loss, Tensor) else float(loss)


def check_scalar(loss: Any) -> None:
    """Raise unless a loss is one number, here or on a device.

    Raises:
        FinderError: It is not.
    """
    if isinstance(loss, Tensor) and loss.numel() == 1:
        return
    if isinstance(loss, float | int) and not isinstance(loss, bool):
        return
    shape = f" of shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else ""
    raise FinderError(
        f"The loss is a {type(loss).__name__}{shape}, and has to be one number: take its mean."
    )
