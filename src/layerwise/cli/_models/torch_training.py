"""What a search on a module of PyTorch needs beside it: an optimizer, a loss, and batches."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from layerwise._text import shown
from layerwise.cli._models.made import MadeModel
from layerwise.errors import FinderError

if TYPE_CHECKING:
    import torch
    from torch.utils.data import DataLoader

_START = 1e-3  # any rate does: a search looks for another


def optimizer_of(made: MadeModel, name: str | None) -> "torch.optim.Optimizer":
    """The optimizer that the factory gave, or a new one of the class with this name.

    Raises:
        FinderError: There are both, or there is no such class.
    """
    import torch

    if made.optimizer is not None:
        _check_alone(name, "--optimizer", made.name)
        optimizer: torch.optim.Optimizer = made.optimizer
        return optimizer
    kinds = {
        kind.lower(): value
        for kind, value in vars(torch.optim).items()
        if isinstance(value, type) and issubclass(value, torch.optim.Optimizer)
    }
    kind = kinds.get((name or "adamw").lower())
    if kind is None or kind is torch.optim.Optimizer:
        raise FinderError(
            f"--optimizer must be a class of torch.optim, such as adamw or sgd, got {shown(name)}."
        )
    trained = [parameter for parameter in made.model.parameters() if parameter.requires_grad]
    make: Callable[..., torch.optim.Optimizer] = kind
    return make(trained, lr=_START)


def loss_of(made: MadeModel, name: str | None) -> Callable[..., Any] | None:
    """The loss that the factory gave, or the function with this name; None if outputs have one.

    Raises:
        FinderError: There are both, or there is no such function.
    """
    import torch

    if made.loss is not None:
        _check_alone(name, "--loss", made.name)
        given: Callable[..., Any] = made.loss
        return given
    if name is None:
        return None
    found = getattr(torch.nn.functional, name, None)
    if not callable(found) or name.startswith("_"):
        raise FinderError(
            "--loss must be a function of torch.nn.functional, such as cross_entropy or mse_loss, "
            f"got {shown(name)}."
        )
    chosen: Callable[..., Any] = found
    return chosen


def batches_of(
    made: MadeModel, arrays: Mapping[str, npt.NDArray[np.generic]], batch_size: int
) -> "DataLoader[Any]":
    """Shuffled batches, the same in every run: of x and y, or else of the module's arguments.

    Raises:
        FinderError: The arrays can't be tensors, differ in length, or have weights, which a loss
            of PyTorch doesn't take.
    """
    import torch
    from torch.utils.data import DataLoader

    if "sample_weight" in arrays:
        raise FinderError(
            "sample_weight must be left out for a module of PyTorch, whose loss takes no weights."
        )
    lengths = {name: len(array) if array.ndim else None for name, array in arrays.items()}
    if len(set(lengths.values())) != 1 or None in lengths.values() or 0 in lengths.values():
        raise FinderError(f"The arrays must be equally long, got {lengths}.")
    dtype = next((p.dtype for p in made.model.parameters() if p.is_floating_point()), None)
    try:
        tensors = {name: _tensor(array, dtype) for name, array in arrays.items()}
    except TypeError as error:
        raise FinderError(f"The arrays must hold numbers: {error}") from error
    pair = set(tensors) == {"x", "y"}
    rows: list[Any] = [
        (tensors["x"][i], tensors["y"][i]) if pair else {n: t[i] for n, t in tensors.items()}
        for i in range(next(iter(lengths.values())) or 0)
    ]
    shuffled = torch.Generator().manual_seed(0)
    return DataLoader(rows, batch_size=batch_size, shuffle=True, generator=shuffled)  # type: ignore[arg-type]


def _tensor(array: npt.NDArray[np.generic], dtype: "torch.dtype | None") -> "torch.Tensor":
    """Fractions in the precision of the model, whole numbers as indices and classes."""
    import torch

    tensor = torch.from_numpy(array)
    return tensor.to(dtype) if tensor.is_floating_point() else tensor.long()


def _check_alone(name: str | None, option: str, made: str) -> None:
    if name is not None:
        raise FinderError(f"{option} must be left out: {made} gives one already.")
