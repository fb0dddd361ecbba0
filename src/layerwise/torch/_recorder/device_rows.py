"""Rows with tensors in them: kept as they are now, and fetched from their devices together."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import cast

import torch
from torch import Tensor

from layerwise.errors import RecorderError
from layerwise.recorder import BatchRow


def detached(row: BatchRow) -> BatchRow:
    """A row with copies of its tensors, which nothing changes later and which hold no graph.

    Raises:
        RecorderError: A tensor has more than one element, or a complex one.
    """
    return _mapped(row, lambda value: _copy(value) if isinstance(value, Tensor) else value)


def is_on_device(row: BatchRow) -> bool:
    """Whether a number of the row has to be fetched from a device."""
    return any(tensor.device.type != "cpu" for tensor in _tensors([row]))


def fetched(rows: Sequence[BatchRow]) -> list[BatchRow]:
    """The rows with numbers in place of tensors; each device is waited for once."""
    groups: dict[torch.device, list[Tensor]] = {}
    for tensor in _tensors(rows):
        groups.setdefault(tensor.device, []).append(tensor)
    known: dict[int, float] = {}
    for device, tensors in groups.items():
        kind = torch.float32 if device.type == "mps" else torch.float64
        numbers = torch.stack([tensor.reshape(()).to(kind) for tensor in tensors]).tolist()
        known |= {id(tensor): number for tensor, number in zip(tensors, numbers, strict=True)}
    return [
        _mapped(row, lambda value: known[id(value)] if isinstance(value, Tensor) else value)
        for row in rows
    ]


def _mapped(row: BatchRow, change: Callable[[object], object]) -> BatchRow:
    """A row with each of its values changed, those in mappings too."""
    changed = {
        key: {name: change(item) for name, item in value.items()}
        if isinstance(value, Mapping)
        else change(value)
        for key, value in row.items()
    }
    return cast(BatchRow, changed)


def _copy(tensor: Tensor) -> Tensor:
    if tensor.numel() != 1:
        raise RecorderError(
            f"A record holds numbers, and this value has the shape {tuple(tensor.shape)}. Take its "
            "mean."
        )
    if tensor.is_complex():
        raise RecorderError(
            f"A record holds real numbers, and this value is {tensor.dtype}. Take its absolute "
            "value or its real part."
        )
    return tensor.detach().clone()


def _tensors(rows: Sequence[BatchRow]) -> Iterator[Tensor]:
    for row in rows:
        for value in row.values():
            for item in value.values() if isinstance(value, Mapping) else (value,):
                if isinstance(item, Tensor):
                    yield item
