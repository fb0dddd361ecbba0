"""Rows whose values are still on a device, fetched together."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor

Row: TypeAlias = dict[str, Any]
"""The arguments of ``layerwise.recorder.Recorder.log``."""


def on_device(row: Row) -> bool:
    """Whether something in a row has to be waited for."""
    return any(tensor.device.type != "cpu" for tensor in _tensors([row]))


def numbers(rows: Sequence[Row]) -> list[Row]:
    """Rows with numbers in place of tensors, fetched from each device in one go."""
    groups: dict[torch.device, list[Tensor]] = {}
    for tensor in _tensors(rows):
        groups.setdefault(tensor.device, []).append(tensor)
    known: dict[int, float] = {}
    for device, tensors in groups.items():
        kind = torch.float32 if device.type == "mps" else torch.float64
        fetched = torch.stack([tensor.reshape(()).to(kind) for tensor in tensors]).tolist()
        known |= {id(tensor): value for tensor, value in zip(tensors, fetched, strict=True)}

    def one(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {name: one(item) for name, item in value.items()}
        return known[id(value)] if isinstance(value, Tensor) else value

    return [{key: one(value) for key, value in row.items()} for row in rows]


def _tensors(rows: Sequence[Row]) -> Iterator[Tensor]:
    for row in rows:
        for value in row.values():
            for item in value.values() if isinstance(value, Mapping) else (value,):
                if isinstance(item, Tensor):
                    yield item
