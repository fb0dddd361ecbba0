"""The checks of what a search is given, before anything is touched."""

import inspect
from collections.abc import Callable, Iterable

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from layerwise.errors import FinderError
from layerwise.torch._finder.snapshot import Stateful
from layerwise.torch._optimizer.optimizer_set import OptimizerSet


def check_parts(model: object, optimizers: OptimizerSet, loader: object) -> None:
    """Raise unless the optimizer trains the model and the loader has batches.

    Raises:
        FinderError: It does not, or has none.
    """
    if not isinstance(model, nn.Module):
        raise FinderError(f"{type(model).__name__} is not a torch.nn.Module.")
    if not isinstance(loader, Iterable) and not hasattr(loader, "__getitem__"):
        raise FinderError(
            f"loader={loader!r} must be the batches to train on: a DataLoader or any iterable."
        )
    parameters = list(model.parameters())
    if any(tensor.is_meta for tensor in parameters):
        raise FinderError(
            "The model has parameters on the meta device, which have no values. Give them values "
            "first: model.to_empty(device=...), and then load or initialise its weights."
        )
    if any(is_lazy(tensor) for tensor in parameters):
        raise FinderError(
            "The model has parameters without a shape yet. Call it once on a batch before."
        )
    optimizers.check_disjoint(FinderError)
    known = {id(tensor) for tensor in parameters}
    for one in optimizers.optimizers:
        if any(id(tensor) in known for group in one.param_groups for tensor in group["params"]):
            continue
        raise FinderError(
            "The optimizer has none of the model's parameters. Make it from model.parameters() "
            "or param_groups(model, ...) of this very model."
        )


def check_training(
    optimizers: OptimizerSet, loss: object, step: object, accumulate: int | None, autocast: object
) -> None:
    """Raise unless either a loss or a training step can make an update as it is asked for.

    Raises:
        FinderError: They can't.
    """
    if loss is not None and step is not None:
        raise FinderError("loss= and step= are two ways to say the same. Give one of them.")
    for name, function in (("loss", loss), ("step", step)):
        if function is not None and (not callable(function) or isinstance(function, type)):
            hint = "Make one first" if isinstance(function, type) else "Give a function"
            raise FinderError(f"{name}={function!r} can't be called as a {name}. {hint}.")
    for optimizer in optimizers.optimizers:
        if step is None and "closure" in _required(optimizer.step):
            raise FinderError(
                f"{type(optimizer).__name__} needs a closure, which only a training step of yours "
                "has. Give that as step=."
            )
    if step is not None and (accumulate not in (None, 1) or autocast is not None):
        raise FinderError(
            "accumulate= and autocast= are for a loss; a step= does both itself. Let the loader "
            "yield all batches of one update together."
        )


def check_precision(autocast: object, scaler: object) -> None:
    """Raise unless these are what mixed precision takes.

    Raises:
        FinderError: They are not.
    """
    casting = isinstance(autocast, torch.dtype) or hasattr(autocast, "__enter__")
    if autocast is not None and not casting:
        raise FinderError(
            f"autocast={autocast!r} must be a type such as torch.bfloat16, or a torch.autocast."
        )
    if scaler is not None and not hasattr(scaler, "get_scale"):
        raise FinderError(f"scaler={scaler!r} must be a GradScaler.")


def stateful(*things: object) -> list[Stateful]:
    """Those of some things that are to be restored by their ``state_dict``.

    Raises:
        FinderError: One has none.
    """
    found = []
    for thing in things:
        if thing is None or isinstance(thing, nn.Module):
            continue
        if not isinstance(thing, Stateful):
            raise FinderError(
                f"{type(thing).__name__} has no state_dict() and load_state_dict(), so that it "
                "can't be restored after the search."
            )
        found.append(thing)
    return found


def device_of(model: nn.Module, device: torch.device | str | None) -> torch.device:
    """The device to move batches to.

    Raises:
        FinderError: It can't be used here, or nothing of the model is on it.
    """
    places = [tensor.device for tensor in model.parameters()]
    if device is None:
        return places[0]
    try:
        wanted = torch.empty(0, device=device).device
    except (RuntimeError, TypeError, AssertionError) as error:
        raise FinderError(f"device={device!r} can't be used here: {error}") from error
    if wanted not in places:
        found = ", ".join(sorted({str(place) for place in places}))
        raise FinderError(
            f"device={device!r} must be a device that the model is on, which is {found}. Move the "
            "model first, and make its optimizer after that."
        )
    return wanted


def _required(function: Callable[..., object]) -> set[str]:
    parameters = inspect.signature(function).parameters.values()
    return {p.name for p in parameters if p.default is p.empty and p.kind != p.VAR_KEYWORD}
