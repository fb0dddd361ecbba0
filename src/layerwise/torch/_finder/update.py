"""One update on what a loader yields: forward, backward and the optimizer's step."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, TypeAlias, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.amp import GradScaler
from torch.nn.utils.rnn import PackedSequence

from layerwise.errors import FinderError, LayerwiseError
from layerwise.finder import map_arrays
from layerwise.torch._optimizer.optimizer_set import Optimizers, OptimizerSet

LossFunction: TypeAlias = Callable[[Any, Any], Tensor]
"""A loss function: of a model's outputs and the targets."""

Autocast: TypeAlias = torch.dtype | AbstractContextManager[object] | None
"""A type to compute in, or a context manager that can be entered many times, or neither."""

Batch = TypeVar("Batch")


class Update:
    """An update as a plain training loop makes it.

    Args:
        model: The model.
        optimizer: Its optimizer, or several, which then all step on each update.
        loss: A loss function, or None if the model's outputs have the loss.
        device: Where batches go.
        autocast: In which type to compute.
        scaler: What scales the loss, or None.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizers | OptimizerSet,
        loss: LossFunction | None,
        *,
        device: torch.device,
        autocast: Autocast = None,
        scaler: GradScaler | None = None,
    ) -> None:
        self.model, self.loss = model, loss
        self.optimizers = OptimizerSet.of(optimizer)
        self.device, self.scaler = device, scaler
        self._autocast, self._differentiates = autocast, False
        self._tried: set[bool] = set()  # updates, and scores
        self._parameters = parameters_of(model, self.optimizers)

    def __call__(self, micro_batches: Sequence[object]) -> float:
        """Apply one update on the mean loss of a few batches.

        Returns:
            That loss, from before the update.

        Raises:
            FinderError: The model or the loss can't take a first batch, or the loss is not a
                scalar with a gradient.
        """
        for tensor in self._parameters:
            tensor.grad = None
        number = len(micro_batches)
        losses = []
        for place, batch in enumerate(micro_batches, start=1):
            with self._no_sync() if place < number else nullcontext():
                loss = self._loss(batch, held_out=False)
                if not getattr(loss, "requires_grad", False):
                    raise FinderError(
                        "The loss has no gradient: nothing that it was computed from is trained. "
                        "Look for a detach(), a no_grad() or frozen parameters."
                    )
                mean = loss if number == 1 else loss / number
                scaled = mean if self.scaler is None else self.scaler.scale(mean)
                scaled.backward()  # type: ignore[no-untyped-call]
            losses.append(loss)
        for optimizer in self.optimizers.optimizers:
            if self.scaler is None:
                optimizer.step()
            else:
                self.scaler.step(optimizer)
        if self.scaler is not None:
            self.scaler.update()
        return sum(map(scalar, losses)) / number

    def loss_without_update(self, batch: object) -> float:
        """The loss of one held-out batch, without gradients unless it takes some itself.

        Raises:
            FinderError: As for an update.
        """
        if not self._differentiates:
            try:
                with torch.no_grad():
                    return scalar(self._loss(batch, held_out=True))
            except (FinderError, RuntimeError) as error:
                if not _wants_gradients(error):
                    raise
            self._differentiates = True
        with torch.enable_grad(), _keeping_gradients(self._parameters):
            return scalar(self._loss(batch, held_out=True))

    def _loss(self, batch: object, *, held_out: bool) -> Tensor:
        with self._casting(), nullcontext() if held_out in self._tried else _first(batch, held_out):
            loss = loss_of(self.model, self.loss, moved(batch, self.device))
        self._tried.add(held_out)
        return loss

    def _casting(self) -> AbstractContextManager[object]:
        if isinstance(self._autocast, torch.dtype):
            return torch.autocast(self.device.type, dtype=self._autocast)
        return nullcontext() if self._autocast is None else self._autocast

    def _no_sync(self) -> AbstractContextManager[object]:
        """DistributedDataParallel sums gradients at the last batch of an update only."""
        no_sync = getattr(self.model, "no_sync", None)
        quiet: AbstractContextManager[object] = nullcontext() if no_sync is None else no_sync()
        return quiet


def loss_of(model: Callable[..., object], loss: LossFunction | None, batch: object) -> Tensor:
    """The loss of a batch.

    A tuple or list is the model's inputs and, last, the targets. A mapping is the model's keyword
    arguments, and all of it is the targets. Anything else is inputs and targets in one. Without a
    loss function the model's outputs have it as ``loss``, like those of Transformers.

    Raises:
        FinderError: There is no loss in the outputs, or the loss is not a scalar.
    """
    targets: object
    if isinstance(batch, Mapping):
        outputs, targets = model(**batch), batch
    elif isinstance(batch, tuple | list) and len(batch) > 1:
        *inputs, targets = batch
        outputs = model(*inputs)
    else:
        targets = batch[0] if isinstance(batch, tuple | list) and batch else batch
        outputs = model(targets)
    if loss is not None:
        found: object = loss(outputs, targets)
    elif isinstance(outputs, Mapping):
        found = outputs.get("loss")
    else:
        found = getattr(outputs, "loss", None)
    if loss is None and found is None:
        raise FinderError(
            f"The model's outputs ({type(outputs).__name__}) have no loss. Give loss=, a "
            "function of (outputs, targets), or step=, the whole training step."
        )
    check_scalar(found)
    return cast(Tensor, found)


def _wants_gradients(error: BaseException | None) -> bool:
    """Whether an error says that a loss takes gradients itself, which ``no_grad`` forbids."""
    while error is not None and not isinstance(error, RuntimeError):
        error = error.__cause__
    text = str(error)
    return "require grad" in text or "requires_grad" in text or "grad_fn" in text


@contextmanager
def _keeping_gradients(parameters: Sequence[Tensor]) -> Iterator[None]:
    """While the block runs, parameters have no gradients; then they have the same ones again."""
    before = [tensor.grad for tensor in parameters]
    for tensor in parameters:
        tensor.grad = None
    try:
        yield
    finally:
        for tensor, gradient in zip(parameters, before, strict=True):
            tensor.grad = gradient


@contextmanager
def _first(batch: object, held_out: bool) -> Iterator[None]:
    """In place of an error on the first batch, say how it was called and what to do."""
    try:
        yield
    except (LayerwiseError, torch.OutOfMemoryError):
        raise
    except (
        TypeError,
        ValueError,
        RuntimeError,
        LookupError,
        AttributeError,
        AssertionError,
    ) as error:
        if isinstance(batch, Mapping):
            calls = "model(**batch) and loss(outputs, batch)"
        elif isinstance(batch, tuple | list) and len(batch) > 1:
            inputs = "batch[0]" if len(batch) == 2 else "*batch[:-1]"
            calls = f"model({inputs}) and loss(outputs, batch[-1])"
        else:
            calls = "model(batch) and loss(outputs, batch)"
        where, mode = "the first batch", ""
        if held_out:
            where = "a held-out batch in evaluation mode"
            mode = (
                ", in evaluation mode. If what the model returns differs there, let loss= take "
                "both: model.training tells them apart. A step= is scored in training mode, as "
                "it trains"
            )
        raise FinderError(
            f"The model or its loss can't take {where}, {_shown(batch)}: {error}\n"
            f"It was called as {calls}{mode}. For another call give the "
            "whole training step, step=train_step, which takes a batch, updates, and returns the "
            "loss; for another place of the batches, device=."
        ) from error


def _shown(batch: object) -> str:
    """What a batch is made of, for a message."""
    if isinstance(batch, Tensor):
        return f"{tuple(batch.shape)} on {batch.device}"
    if isinstance(batch, Mapping):
        return "{" + ", ".join(f"{key!r}: {_shown(item)}" for key, item in batch.items()) + "}"
    if isinstance(batch, tuple | list):
        inside = ", ".join(map(_shown, batch[:8])) + (", …" if len(batch) > 8 else "")
        return f"({inside})" if isinstance(batch, tuple) else f"[{inside}]"
    return type(batch).__name__


def moved(batch: Batch, device: torch.device) -> Batch:
    """A batch with all its tensors on a device."""

    def move(part: Any) -> object:
        if isinstance(part, Tensor):
            found = part.to(device, non_blocking=True)
            # A model that differentiates with respect to its inputs marks them, and not the user's.
            return part.detach() if found is part and not part.requires_grad else found
        return part.to(device) if hasattr(part, "to") else part

    # A packed sequence is a named tuple, of which a part stays on the host.
    return map_arrays(move, batch, whole=(PackedSequence,))


def parameters_of(model: nn.Module, optimizer: Optimizers | OptimizerSet) -> list[Tensor]:
    """Every parameter of a model and its optimizers, once."""
    groups = OptimizerSet.of(optimizer).groups()
    grouped = [tensor for group in groups for tensor in group["params"]]
    return list({id(tensor): tensor for tensor in [*model.parameters(), *grouped]}.values())


def scalar(loss: object) -> float:
    """A loss as a number, which waits for the device.

    Raises:
        FinderError: It is not one number.
    """
    check_scalar(loss)
    return float(loss.detach()) if isinstance(loss, Tensor) else float(cast(float, loss))


def check_scalar(loss: object) -> None:
    """Raise unless a loss is one number, here or on a device.

    Raises:
        FinderError: It is not.
    """
    if isinstance(loss, Tensor) and loss.numel() == 1 and not loss.is_complex():
        return
    if isinstance(loss, float | int) and not isinstance(loss, bool):
        return
    shape, hint = "", "Take its mean."
    if isinstance(loss, Mapping | tuple | list):
        hint = "Return the one entry to minimise."
    if isinstance(loss, Tensor):
        shape = f" of shape {tuple(loss.shape)}"
        if loss.is_complex():
            shape, hint = f"{shape} and type {loss.dtype}", "Take its absolute value or real part."
    raise FinderError(
        f"The loss is a {type(loss).__name__}{shape}; it must be one real number. {hint}"
    )
